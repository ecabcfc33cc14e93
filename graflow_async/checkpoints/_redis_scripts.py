"""What is asked of Redis in one step each: Lua scripts, all of them safe to be sent twice.

A run is a hash (`meta`) and a list (`data`); the entries of the list, one behind the other, are the bytes that the file
of a run would have. Times are those of the server, in milliseconds. In front of a script's first write stands nothing
but checks. A full Redis decides by that write whether it refuses a script, and never half way: so what asks for memory
begins with one that needs some, and a lease is taken, renewed and given back by scripts that begin with one that does
not.
"""

from __future__ import annotations

from .._redis.link import Script

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# What every verb of a holder begins with: is the run there, and is it still mine?
_MINE = """
local run = redis.call('HMGET', KEYS[1], 'id', 'token', 'holder', 'gen', 'size', 'n')
if not run[1] then return {'GONE'} end
if run[2] ~= ARGV[1] then return {'FENCED', run[3]} end
"""


CREATE = Script(
    """
local there = redis.call('HMGET', KEYS[1], 'id', 'token')
if there[1] then
  if there[2] == ARGV[1] then return {'OK'} end
  return {'EXISTS'}
end
""",
    _NOW,
    """
redis.call('HSET', KEYS[1], 'id', ARGV[5], 'token', ARGV[1], 'holder', ARGV[2], 'until', now + ARGV[3], 'epoch', 1,
  'gen', 1, 'n', 1, 'size', #ARGV[6], 'records', 0, 'tag', ARGV[7], 'updated', now)
redis.call('UNLINK', KEYS[2])
redis.call('RPUSH', KEYS[2], ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {'OK'}
""",
)
"""meta, data; token, holder, lease, ttl, id, first bytes, tag."""

TAKE = Script(
    _NOW,
    """
local run = redis.call('HMGET', KEYS[1], 'id', 'token', 'until', 'holder')
if not run[1] then return {'UNKNOWN'} end
if run[2] ~= ARGV[1] then
  if run[2] and tonumber(run[3]) > now then return {'HELD', run[4], run[3] - now} end
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if run[2] ~= ARGV[1] then redis.call('HINCRBY', KEYS[1], 'epoch', 1) end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'holder', ARGV[2], 'until', now + ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
for _, place in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do redis.call('PEXPIRE', place, ARGV[4]) end
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return {'OK'}
""",
)
"""meta, data, saved; token, holder, lease, ttl."""

RENEW = Script(
    _MINE,
    _NOW,
    """
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('HSET', KEYS[1], 'until', now + ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if ARGV[4] == '1' then
  for _, place in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do redis.call('PEXPIRE', place, ARGV[3]) end
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
if redis.call('LLEN', KEYS[2]) ~= tonumber(run[6]) then return {'LOST', run[5]} end
return {'OK'}
""",
)
"""meta, data, saved; token, lease, ttl, "1" to keep the checkpoints, too."""

RELEASE = Script(
    _MINE,
    """
redis.call('HDEL', KEYS[1], 'token', 'until')
return {'OK'}
""",
)
"""meta; token."""

REMOVE = Script(
    _MINE,
    """
for _, place in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do redis.call('UNLINK', place) end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
return {'OK'}
""",
)
"""meta, data, saved; token."""

APPEND = Script(
    _MINE,
    """
if run[4] ~= ARGV[2] then return {'LOST', run[5]} end
local size, before = tonumber(run[5]), tonumber(ARGV[3])
if size == before + #ARGV[4] then return {'OK'} end
if size ~= before or redis.call('LLEN', KEYS[2]) ~= tonumber(run[6]) then return {'LOST', run[5]} end
""",
    _NOW,
    """
redis.call('RPUSH', KEYS[2], ARGV[4])
redis.call('HSET', KEYS[1], 'size', before + #ARGV[4], 'n', run[6] + 1, 'records', ARGV[5], 'tag', ARGV[6],
  'updated', now, 'until', now + ARGV[7])
for i = 9, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[8])
redis.call('PEXPIRE', KEYS[2], ARGV[8])
return {'OK'}
""",
)
"""meta, data; token, gen, size before, bytes, records, tag, lease, ttl, then fields and values for listings."""

CUT = Script(
    _MINE,
    """
local size, n, wanted = tonumber(run[5]), tonumber(run[6]), tonumber(ARGV[2])
local entry
while size > wanted do
  entry = redis.call('RPOP', KEYS[2])
  if not entry then return {'LOST', 0} end
  size, n = size - #entry, n - 1
end
if size < wanted and entry then
  redis.call('RPUSH', KEYS[2], string.sub(entry, 1, wanted - size))
  size, n = wanted, n + 1
end
redis.call('HSET', KEYS[1], 'size', size, 'n', n)
return {'OK'}
""",
)
"""meta, data; token, the bytes that stay."""

PIECE = Script("""
local gen = ''
local about = {}
if KEYS[2] then
  about = redis.call('HMGET', KEYS[2], 'gen', 'size', 'n', 'records', 'tag')
  if not about[1] then return {} end
  gen = about[1]
  if ARGV[1] ~= '' and ARGV[1] ~= gen then return {gen} end
end
local index, step, total, parts = tonumber(ARGV[2]), 4, 0, {}
local most = tonumber(ARGV[3])
while total < most do
  local entries = redis.call('LRANGE', KEYS[1], index, index + step - 1)
  for _, entry in ipairs(entries) do
    total = total + #entry
    parts[#parts + 1] = entry
  end
  index = index + #entries
  if #entries < step then break end
  if total * 4 < most then step = step * 2 end
end
if not KEYS[2] then about = {'', '', redis.call('LLEN', KEYS[1]), '', ''} end
return {gen, index, table.concat(parts), about[2], about[3], about[4], about[5]}
""")
"""data, and meta unless it is a copy; gen (empty: any), the first entry, about how many bytes."""

PUT = Script("""
local n = redis.call('LLEN', KEYS[1])
if n == tonumber(ARGV[1]) then
  redis.call('RPUSH', KEYS[1], ARGV[2])
elseif n ~= ARGV[1] + 1 then
  return {'LOST', n}
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'OK'}
""")
"""temporary; entries before, bytes, ttl."""

UNLINK = Script("return redis.call('UNLINK', KEYS[1])")
"""temporary."""

SWAP = Script(
    _MINE,
    """
if tonumber(run[4]) == ARGV[2] + 1 then return {'OK'} end
if run[4] ~= ARGV[2] or tonumber(run[5]) ~= tonumber(ARGV[3]) then return {'LOST', run[5]} end
if redis.call('LLEN', KEYS[3]) ~= tonumber(ARGV[4]) then return {'UNDONE'} end
""",
    _NOW,
    """
redis.call('UNLINK', KEYS[2])
redis.call('RENAME', KEYS[3], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[8])
redis.call('HDEL', KEYS[1], 'header', 'last')
redis.call('HSET', KEYS[1], 'gen', ARGV[2] + 1, 'n', ARGV[4], 'size', ARGV[5], 'records', ARGV[6], 'tag', ARGV[7],
  'updated', now)
for i = 9, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return {'OK'}
""",
)
"""meta, data, temporary; token, gen, size, then n, size, records and tag of the new list, ttl, fields and values."""

KEEP = Script(
    _MINE,
    """
local kept = redis.call('HMGET', KEYS[1], 'kept', 'kept_at')
if kept[1] == ARGV[2] then return {'OK', kept[2]} end
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[4]) then return {'UNDONE'} end
local place, number = ARGV[3], 1
while redis.call('EXISTS', place) == 1 do
  number = number + 1
  place = ARGV[3] .. '-' .. number
end
redis.call('RENAME', KEYS[2], place)
redis.call('PEXPIRE', place, ARGV[5])
redis.call('ZADD', KEYS[3], redis.call('HINCRBY', KEYS[1], 'saves', 1), place)
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('HSET', KEYS[1], 'kept', ARGV[2], 'kept_at', place)
return {'OK', place}
""",
)
"""meta, temporary, saved; token, a name for this request, the place, n, ttl."""

LIST = Script(
    _NOW,
    """
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], last[2])
return {'OK'}
""",
)
"""index; run id, ttl. An entry's score is when its run expires: for one ttl the order is that of the last writes."""
