--# include kv
-- ARGV: 1 what is wanted, 2... keys
-- For each key false if there is none, else with `exists` 1, and with `value`
-- {revision, length of base or -1, first place, base or false, items, id, place behind the last}. Of long lists come the
-- first items only; `version` takes key, id, first place, place behind the last and the place from which to go on, and
-- answers the same for what the list was when these were its places.

local left = 1000

local function whole(key, entry, first, behind, place)
  local base = entry[SIZE] ~= 0 and place == first and call('HGET', VALUES, key)
  local found = items(entry, place, math.min(behind, place + left))
  left = left - #found
  return { entry[REV], entry[SIZE], first, base, found, entry[ID], behind }
end

if ARGV[1] == 'version' then
  local entry = find(ARGV[2])
  local first, behind, place = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
  if entry and entry[ID] == tonumber(ARGV[3]) and entry[FIRST] <= first and entry[BEHIND] >= behind then
    return { whole(ARGV[2], entry, first, behind, place) }
  end
  return { false }
end

local found = {}
for number = 2, #ARGV do
  local entry, is_due = find(ARGV[number])
  local reply = false
  if entry and not is_due then
    reply = ARGV[1] == 'exists' and 1 or whole(ARGV[number], entry, entry[FIRST], entry[BEHIND], entry[FIRST])
  end
  found[#found + 1] = reply
end
return found
