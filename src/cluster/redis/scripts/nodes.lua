-- KEYS: nodes, status. Returns each node whose lease is not over, followed by its status.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf')) do
  nodes[#nodes + 1] = node
  nodes[#nodes + 1] = redis.call('HGET', KEYS[2], node) or ''
end
return nodes
