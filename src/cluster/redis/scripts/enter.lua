-- KEYS: counter, names. ARGV: node, an epoch for each name. A name that has a higher epoch, or the same epoch and a node
-- whose id is greater, stays; all others become the node's. Returns the place and the former entry of each name that stays
-- or was another node's. The counter becomes at least the highest epoch.
local entries = {}
local highest = 0
for place = 1, #ARGV - 1 do
  local name, epoch = KEYS[place + 1], tonumber(ARGV[place + 1])
  local entry = redis.call('GET', name)
  -- an entry of another program, for example with more digits than an epoch has, gives way
  local holder, digits = string.match(entry or '', '^(.*) (%d+)$')
  local held = digits and #digits <= 16 and tonumber(digits)
  local stays = held and (held > epoch or held == epoch and holder > ARGV[1])
  if stays or held and holder ~= ARGV[1] then
    entries[#entries + 1] = place - 1
    entries[#entries + 1] = entry
  end
  if not stays then
    redis.call('SET', name, ARGV[1] .. ' ' .. ARGV[place + 1])
    highest = math.max(highest, epoch)
  end
end
if highest > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], string.format('%.0f', highest))
end
return entries
