"""What a broker asks of Redis in one step each: Lua scripts, all of them safe to be sent twice.

Keys, the same for each: 1 changes of all runs, 2 index of all runs, 3 runs by their end; of one run: 4 changes, 5 its
questions, 6 index, 7 letters, 8 letters that were dropped. The first two arguments are the run's tag and how long keys
stay, in milliseconds. A question or a letter is kept with the id of its last change in front, which orders all changes.

An index has only members without scores, each of which says where to look: `i:<address>:<tag>` (which run has it),
`n:<name>:<address>:<tag>`, `s:<state>:<address>:<tag>`; that of a run has the last two, without the tag. What an index
says is checked against what it leads to.

In front of a script's first write stand nothing but checks. A full Redis decides by that write whether it refuses a
script, and never half way: what asks for memory begins with one that needs some, and what gives it back does not.
"""

from __future__ import annotations

from .._redis.link import Script

KINDS = (QUESTION, LETTER) = ("q", "l")
"""What a change is about."""

AT_ONCE = 500
"""Members of an index, or letters, that one script goes through."""

_START = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local tag, ttl = ARGV[1], tonumber(ARGV[2])

local function last(stream)
  local entries = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  return entries[1] and entries[1][1] or '0-0'
end

-- An index outlives its run, so that whoever clears up knows what to remove elsewhere.
local function touch()
  for i = 4, 8 do redis.call('PEXPIRE', KEYS[i], i == 6 and ttl * 2 or ttl) end
  for i = 1, 3 do
    if redis.call('PTTL', KEYS[i]) < ttl then redis.call('PEXPIRE', KEYS[i], ttl) end
  end
  redis.call('ZADD', KEYS[3], now + ttl, tag)
end
"""

_PUBLISH = """
local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

-- Behind everything there is, also if the clock was set back.
local function behind(one, other)
  local ms, number = parts(one)
  local ms2, number2 = parts(other)
  if ms2 > ms or (ms2 == ms and number2 > number) then ms, number = ms2, number2 end
  if now > ms then return string.format('%.0f-0', now) end
  return string.format('%.0f-%.0f', ms, number + 1)
end

local function publish(kind, body, most, most_of_all)
  local all, mine = last(KEYS[1]), last(KEYS[4])
  local id = behind(all, mine)
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', most_of_all, id, 'kind', kind, 'body', body, 'after', all)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', most, id, 'kind', kind, 'body', body, 'after', mine)
  return id
end

local function overdue()
  return redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. now, 'LIMIT', 0, 1)[1] or ''
end
"""

ASK = Script(
    _START,
    _PUBLISH,
    """
local id, body = ARGV[3], ARGV[4]
local place = 'i:' .. id .. ':' .. tag
local there = redis.call('ZRANGEBYLEX', KEYS[2], '[i:' .. id .. ':', '(i:' .. id .. ';', 'LIMIT', 0, 1)[1]
if there and there ~= place then return {'ELSEWHERE', there} end
local known = redis.call('HGET', KEYS[5], id)
if known then
  touch()
  return {'KNOWN', known}
end
local version = publish('q', body, ARGV[6], ARGV[7])
redis.call('HSET', KEYS[5], id, version .. '\\n' .. body)
local named, open = 'n:' .. ARGV[5] .. ':' .. id, 's:pending:' .. id
redis.call('ZADD', KEYS[6], 0, named, 0, open)
redis.call('ZADD', KEYS[2], 0, place, 0, named .. ':' .. tag, 0, open .. ':' .. tag)
touch()
return {'DONE', overdue()}
""",
)
"""tag, ttl; address, record, name, how many changes are kept of the run, of all."""

CHANGE = Script(
    _START,
    _PUBLISH,
    """
local id, body, before, after = ARGV[3], ARGV[4], ARGV[6], ARGV[7]
local known = redis.call('HGET', KEYS[5], id)
if not known then return {'GONE'} end
if string.sub(known, 1, #ARGV[5] + 1) ~= ARGV[5] .. '\\n' then return {'CHANGED', known} end
local version = publish('q', body, ARGV[8], ARGV[9])
redis.call('HSET', KEYS[5], id, version .. '\\n' .. body)
if before ~= after then
  redis.call('ZADD', KEYS[6], 0, 's:' .. after .. ':' .. id)
  redis.call('ZADD', KEYS[2], 0, 's:' .. after .. ':' .. id .. ':' .. tag)
  redis.call('ZREM', KEYS[6], 's:' .. before .. ':' .. id)
  redis.call('ZREM', KEYS[2], 's:' .. before .. ':' .. id .. ':' .. tag)
end
touch()
return {'DONE', overdue()}
""",
)
"""tag, ttl; address, record, version that is to be changed, its state, the new state, how many changes are kept.

Sent again after it was carried out it says CHANGED, with the record that it has made or what has become of that."""

POST = Script(
    _START,
    _PUBLISH,
    """
local id, body = ARGV[3], ARGV[4]
if redis.call('HEXISTS', KEYS[7], id) == 1 or redis.call('ZSCORE', KEYS[8], id) then
  touch()
  return {'KNOWN'}
end
local version = publish('l', body, ARGV[5], ARGV[6])
redis.call('HSET', KEYS[7], id, version .. '\\n' .. body)
touch()
return {'DONE', overdue()}
""",
)
"""tag, ttl; id, letter, how many changes are kept of the run, of all."""

DROP = Script(
    _START,
    """
local now_gone = {}
for i = 4, #ARGV do
  if redis.call('HDEL', KEYS[7], ARGV[i]) == 1 then now_gone[#now_gone + 1] = ARGV[i] end
end
for _, id in ipairs(now_gone) do redis.call('ZADD', KEYS[8], now + ARGV[3], id) end
redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', now)
if #now_gone > 0 then touch() end
return {'DONE'}
""",
)
"""tag, ttl; how long a letter that was dropped is not taken again (it may be on its way twice), ids."""

FORGET = Script(
    _START,
    """
if ARGV[3] ~= '' then
  local due = redis.call('ZSCORE', KEYS[3], tag)
  if due and tonumber(due) >= now then return {'DONE'} end
  local left = math.max(redis.call('PTTL', KEYS[5]), redis.call('PTTL', KEYS[7]))
  if left > 0 then
    redis.call('ZADD', KEYS[3], now + left, tag)
    return {'DONE'}
  end
end
local members = redis.call('ZRANGE', KEYS[6], 0, ARGV[4] - 1)
local elsewhere = {}
for _, member in ipairs(members) do
  elsewhere[#elsewhere + 1] = member .. ':' .. tag
  elsewhere[#elsewhere + 1] = 'i:' .. string.sub(member, -32) .. ':' .. tag
end
if #members > 0 then
  redis.call('ZREM', KEYS[2], unpack(elsewhere))
  redis.call('ZREM', KEYS[6], unpack(members))
end
if #members == tonumber(ARGV[4]) then return {'MORE'} end
redis.call('ZREM', KEYS[3], tag)
redis.call('UNLINK', KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8])
return {'DONE'}
""",
)
"""tag, ttl; something if only a run whose time is up is meant, how many members at once. Until it says DONE."""

TOUCH = Script(_START, "touch()\nreturn {'DONE'}")
"""tag, ttl."""

LAST = Script(_START, "return {last(KEYS[1]), last(KEYS[2])}")
"""Two streams; nothing that counts."""
