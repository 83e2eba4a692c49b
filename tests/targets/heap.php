<?php
// A heap of PHP's memory manager of known size: filled, then whole stretches of it dropped,
// then nine of ten of the rest, then a cache of chunks that nothing is in. It tells what PHP
// says of itself, in the protocol of target.h.
ini_set('memory_limit', '2G');

function say()
{
    echo 'ready usage=', memory_get_usage(), ' real=', memory_get_usage(true), "\n";
    return fgets(STDIN);
}

function tell()
{
    while (say() === "again\n") {
    }
}

// In one chunk after the other; two huge blocks beside them.
$rows = [];
for ($i = 0; $i < 200000; $i++) {
    $rows[] = ['id' => $i, 'name' => "user $i", 'tags' => [$i, $i + 1]];
}
$huge = [str_repeat('x', 5000000), str_repeat('y', 9 << 20)];
$large = array_map(function ($i) { return str_repeat('z', 5000 + $i * 1000); }, range(1, 100));
tell();
foreach ($rows as $i => $_) {
    if (intdiv($i, 9973) % 3 === 0) {
        unset($rows[$i]);
    }
}
unset($huge[0], $i, $_);
tell();
foreach ($rows as $i => $_) {
    if ($i % 10 !== 0) {
        unset($rows[$i]);
    }
}
unset($i, $_);
tell();
// Most of its chunks are given up at once; those that it may need soon stay.
$rows = $large = $huge = null;
for ($i = 0; $i < 20; $i++) {
    $many = array_fill(0, 200000, $i);
    $many = null;
}
unset($i, $many);
tell();
