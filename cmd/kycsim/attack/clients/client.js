// Sends each request of the plan as often as told, and prints what was read of each answer: NAME, a tab, and a status or the name of an error.
'use strict';
const http = require('http');

const [host, port, times] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const plan = process.argv.slice(5).map((text) => JSON.parse(Buffer.from(text, 'base64').toString()));

function once(p) {
  return new Promise((resolve) => {
    const body = p.body ? Buffer.from(p.body, 'base64') : Buffer.alloc(p.size, 97);
    const headers = Object.assign({}, p.headers);
    if (!p.chunked) headers['Content-Length'] = body.length;
    const req = http.request({ host, port, method: p.method, path: p.path, headers, agent: false }, (res) => {
      res.resume();
      res.on('end', () => resolve(String(res.statusCode)));
      res.on('error', (err) => resolve(err.code));
    });
    req.setTimeout(20000, () => req.destroy(Object.assign(new Error(), { code: 'TIMEOUT' })));
    req.on('error', (err) => resolve(err.code));
    const step = p.chunked ? 1000 : 64 << 10;
    for (let at = 0; at < body.length; at += step) req.write(body.subarray(at, at + step));
    req.end();
  });
}

(async () => {
  for (const p of plan) {
    for (let i = 0; i < (p.body ? 1 : times); i++) console.log(p.name + '\t' + (await once(p)));
  }
})();
