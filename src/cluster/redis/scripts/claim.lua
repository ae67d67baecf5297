-- KEYS: name, counter. ARGV: node. Returns the epoch, or the entry that is there.
return redis.call('GET', KEYS[1]) or grant(KEYS[1], KEYS[2], ARGV[1])
