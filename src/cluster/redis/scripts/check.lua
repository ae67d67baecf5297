-- KEYS: a key that nothing else uses. Runs every command that the other scripts run, so that a missing permission is found
-- when a node links, and named. It leaves nothing behind.
local key = KEYS[1]
local commands = {
  { 'TIME' },
  { 'SET', key, 0 }, { 'INCR', key }, { 'GET', key }, { 'DEL', key },
  { 'ZADD', key, 0, 'node' }, { 'ZSCORE', key, 'node' }, { 'ZRANGEBYSCORE', key, 0, 0 }, { 'ZREM', key, 'node' },
  { 'HSET', key, 'node', '' }, { 'HGET', key, 'node' }, { 'HDEL', key, 'node' },
}
for _, command in ipairs(commands) do
  local reply = redis.pcall(unpack(command))
  if type(reply) == 'table' and reply.err then
    return redis.error_reply('ERR ' .. command[1] .. ': ' .. reply.err)
  end
end
