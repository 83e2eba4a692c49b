%% A heap of Erlang's, in the protocol of target.h: an escript.
main(_) ->
    Rows = [{I, integer_to_list(I)} || I <- lists:seq(1, 300000)],
    io:format("ready heap=~b~n", [erlang:memory(processes)]),
    io:get_line(""),
    io:format("~b~n", [length(Rows)]).
