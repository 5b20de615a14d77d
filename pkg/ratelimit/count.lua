-- Counts a request in the current window. The first request starts a window of ARGV[1] milliseconds.
-- Returns the count and the milliseconds until the window ends.
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 1 then
  left = tonumber(ARGV[1])
  redis.call('PEXPIRE', KEYS[1], left)
end
return {count, left}
