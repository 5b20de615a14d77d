-- Counts a request in the current window of each key, from the narrowest network of a client to the widest. ARGV[1] is the
-- length of a window in milliseconds, ARGV[2…] the limits of the keys. The first request starts a window. A request that is over
-- a limit does not count for the wider networks: one client must not use up the limit of its neighbours.
-- Returns for each counted key the count and the milliseconds until the window ends.
local result = {}
for i, key in ipairs(KEYS) do
  local count = redis.call('INCR', key)
  local left = redis.call('PTTL', key)
  if left < 1 then
    left = tonumber(ARGV[1])
    redis.call('PEXPIRE', key, left)
  end
  result[2 * i - 1], result[2 * i] = count, left
  if count > tonumber(ARGV[i + 1]) then
    break
  end
end
return result
