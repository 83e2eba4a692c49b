<?php
// A heap of PHP's memory manager, in the protocol of target.h.
ini_set('memory_limit', '1G');
$rows = [];
for ($i = 0; $i < 100000; $i++) {
    $rows[] = ['id' => $i, 'name' => "user $i"];
}
printf("ready heap=%d\n", memory_get_usage(true));
flush();
fgets(STDIN);
echo count($rows), "\n";
