-- KEYS: nodes, status, counter. ARGV: node, lease in milliseconds, status. Returns whether the node's lease was still valid,
-- and an epoch that no grant before exceeds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(ARGV[2])
local ends = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
redis.call('ZADD', KEYS[1], now + lease, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
-- nodes that have been dead for ten leases are forgotten, some with each heartbeat
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 10 * lease, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], node)
  redis.call('HDEL', KEYS[2], node)
end
local epoch = math.max(time[1] * 1000000 + time[2], tonumber(redis.call('GET', KEYS[3]) or 0))
return { ends > now and 1 or 0, epoch }
