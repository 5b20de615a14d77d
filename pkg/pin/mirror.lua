-- Count one attempt of a holder, unless Redis has a lock that the caller cannot have seen in Postgres.
--
-- KEYS[1] the holder's hash        ARGV[1] number of the last charge that the caller saw in Postgres
--                                  ARGV[2] how long to keep the hash, in milliseconds
-- Returns {count, 0}, or {0, end of the lock in Unix milliseconds}.
--
-- A lock in Redis has the number of the charge that wrote it. If that number is not greater than ARGV[1], the caller read
-- Postgres after that charge. Postgres had no lock any more, so the copy in Redis is old and the script ignores it. So an
-- old copy refuses no attempt.
local lock = redis.call('HMGET', KEYS[1], 'locked_by', 'locked_until')
if lock[1] and tonumber(lock[1]) > tonumber(ARGV[1]) then
    return {0, tonumber(lock[2])}
end
local count = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {count, 0}
