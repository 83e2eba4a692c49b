%% A heap of Erlang's, in the protocol of target.h: an escript. The used part of it: blocks
%% for heaps are larger, and not written to their end.
main(_) ->
    Rows = [{I, integer_to_list(I)} || I <- lists:seq(1, 300000)],
    erlang:garbage_collect(),
    {_, Heap} = erlang:process_info(self(), garbage_collection_info),
    Words = proplists:get_value(heap_size, Heap) + proplists:get_value(old_heap_size, Heap),
    io:format("ready heap=~b~n", [Words * erlang:system_info(wordsize)]),
    io:get_line(""),
    io:format("~b~n", [length(Rows)]).
