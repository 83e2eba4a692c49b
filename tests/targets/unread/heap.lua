-- A heap of Lua's or LuaJIT's, in the protocol of target.h.
local rows = {}
for i = 1, 200000 do
    rows[i] = { id = i, name = "user " .. i }
end
collectgarbage()
print(string.format("ready heap=%d", collectgarbage("count") * 1024))
io.stdout:flush()
io.stdin:read()
print(#rows)
