<?php
// A request that needs several chunks of PHP's memory manager, and huge blocks.
$rows = [];
for ($i = 0; $i < 100000; $i++) {
    $rows[] = "user $i";
}
$huge = str_repeat('x', 5000000);
echo memory_get_usage(true);
