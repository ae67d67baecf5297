-- Gives a name to a node, with an epoch above all others. The server's clock, in microseconds, keeps the epochs growing
-- when the counter is lost: no server grants a million names a second, so the counter is never ahead of the clock for long.
-- Lua counts exactly up to 2^53, which the clock reaches in the year 2255.
local function grant(name, counter, node)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local epoch = redis.call('INCR', counter)
  if epoch < now then
    epoch = now
    redis.call('SET', counter, string.format('%.0f', epoch))
  end
  redis.call('SET', name, node .. ' ' .. string.format('%.0f', epoch))
  return epoch
end

