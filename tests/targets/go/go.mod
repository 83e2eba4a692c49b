module memgap/target

go 1.19
