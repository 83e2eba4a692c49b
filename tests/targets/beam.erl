%% Carriers of Erlang's, in the protocol of target.h: an escript. Each step holds something else;
%% what it says is of system_info, summed over all instances.
main(_) ->
    Rows = [{I, integer_to_list(I)} || I <- lists:seq(1, 300000)],
    Table = ets:new(table, [public]),
    [ets:insert(Table, {I, I}) || I <- lists:seq(1, 200000)],
    Binary = binary:copy(<<"x">>, 20000000),
    say(),
    [ets:delete(Table, I) || I <- lists:seq(1, 200000), I rem 16 =/= 0],
    say(),
    Many = [{I, spawn_monitor(fun() -> hold(I) end)} || I <- lists:seq(1, 20000)],
    Ended = [Pair || {I, Pair} <- Many, I rem 10 =/= 0],
    [exit(Pid, kill) || {Pid, _} <- Ended],
    [receive {'DOWN', Monitor, _, _, _} -> ok end || {_, Monitor} <- Ended],
    say(),
    io:format("~b~n", [length(Rows) + byte_size(Binary)]).

hold(I) ->
    List = lists:seq(1, 100 + I rem 100),
    receive _ -> List end.

say() ->
    erlang:garbage_collect(),
    io:format("ready"),
    tell(),
    again().

%% Whoever asks is told anew: what was freed comes back to its allocator a little later.
again() ->
    case io:get_line("") of
        "again\n" -> io:format("ready"), tell(), again();
        _ -> ok
    end.

tell() ->
    Types = erlang:system_info(alloc_util_allocators),
    Infos = [Info || Type <- Types, {instance, _, Info} <- erlang:system_info({allocator, Type})],
    Kinds = [Kind || Info <- Infos, {Name, Kind} <- Info, lists:member(Name, [mbcs, mbcs_pool, sbcs])],
    Pools = [Kind || Info <- Infos, {mbcs_pool, Kind} <- Info],
    io:format(" blocks=~b carriers=~b pooled=~b~n", [
        lists:sum([blocks(Kind) || Kind <- Kinds]),
        lists:sum([carriers(Kind) || Kind <- Kinds]),
        lists:sum([carriers(Kind) || Kind <- Pools])
    ]).

carriers(Kind) ->
    lists:sum([element(2, Entry) || Entry <- Kind, element(1, Entry) =:= carriers_size]).

blocks(Kind) ->
    {blocks, Blocks} = lists:keyfind(blocks, 1, Kind),
    lists:sum([element(2, Entry) || {_, Of} <- Blocks, Entry <- Of, element(1, Entry) =:= size]).
