#!/bin/bash
# A bash that holds an array, in the protocol of target.h.
for ((i = 0; i < 100000; i++)); do
    kept[i]="line $i of a text that some script keeps"
done
echo "ready lines=${#kept[@]}"
read -r _
