-- KEYS: name, counter. ARGV: node, the former entry. Returns the epoch, or nothing if the entry is another one.
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return false
end
return grant(KEYS[1], KEYS[2], ARGV[1])
