-- letter, ref -> the job's state afterwards; queued if it will run again, its deaths forgotten.
local dead, ref = P .. 'dlq', ARGV[4]
local job = load_jobs({ref})[ref]
local row = redis.call('XRANGE', dead, ARGV[3], ARGV[3])[1]
if not row then return AGAIN and job and job.s or 'missing' end
if job and job.s ~= 'dead' then return job.s end
if redis.call('EXISTS', S) == 0 then redis.call('XGROUP', 'CREATE', S, G, '0', 'MKSTREAM') end
local letter = {}
for i = 1, #row[2], 2 do letter[row[2][i]] = row[2][i + 1] end
local entry = redis.call('XADD', S, '*', 'j', ref, 'p', letter.p)
save(ref, {s = 'queued', e = entry, f = job and job.f, x = letter.x ~= '' and letter.x or nil})
redis.call('EXPIRE', S, KEEP)
redis.call('XDEL', dead, ARGV[3])
write()
return 'queued'
