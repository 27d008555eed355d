// SPDX-License-Identifier: Apache-2.0
// node.js DIRECTORY: compiled code, worker threads, timers, promises, files and an http server, at once.
//
// Makes DIRECTORY/ready when all of it runs, goes on until DIRECTORY/go is there, and writes OK, or what
// differs, to DIRECTORY/result.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const assert = require('assert');
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const zlib = require('zlib');
const { execFile, spawn } = require('child_process');

// Hot enough to be compiled, with a known answer.
function mix(n) {
	let h = 2166136261;
	for (let i = 0; i < n; i++)
		h = Math.imul(h ^ (i & 255), 16777619);
	return h >>> 0;
}

if (!isMainThread) {
	const want = mix(20000);
	const shared = new Int32Array(workerData);
	parentPort.on('message', (n) => {
		if (mix(20000) !== want)
			throw new Error('the worker miscounts');
		Atomics.add(shared, 0, 1);
		Atomics.notify(shared, 0);
		parentPort.postMessage(n + 1);
	});
	return;
}

const where = process.argv[2];
const counts = {};
const kinds = ['worker', 'compiled', 'timer', 'promise', 'http', 'file', 'zlib', 'child', 'pipe', 'collected'];
let stop = false;

const step = (name) => { counts[name] = (counts[name] || 0) + 1; };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function finish(text) {
	fs.writeFileSync(path.join(where, 'result.new'), text + '\n');
	fs.renameSync(path.join(where, 'result.new'), path.join(where, 'result'));
	process.exit(text === 'OK' ? 0 : 1);
}
process.on('uncaughtException', (e) => finish(e.stack));
process.on('unhandledRejection', (e) => finish(e.stack));

async function workers() {
	const shared = new SharedArrayBuffer(4);
	const all = [0, 1].map(() => new Worker(__filename, { workerData: shared }));
	let n = 0, sent = 0;
	while (!stop) {
		for (const w of all) {
			const answer = new Promise((done) => w.once('message', done));
			w.postMessage(n);
			sent++;
			assert.strictEqual(await answer, n + 1);
			n++;
			step('worker');
		}
		assert.strictEqual(new Int32Array(shared)[0], sent);
	}
	await Promise.all(all.map((w) => w.terminate()));
}

async function compiled() {
	const want = mix(100000);
	while (!stop) {
		assert.strictEqual(mix(100000), want);
		// new code each time
		const k = counts.compiled || 0;
		assert.strictEqual(new Function('x', `let s = 0; for (let i = 0; i < 1000; i++) s += x + ${k}; return s`)(1),
			1000 * (k + 1));
		step('compiled');
		await sleep(1);
	}
}

async function timers() {
	while (!stop) {
		const begun = process.hrtime.bigint();
		await sleep(15);
		assert(process.hrtime.bigint() - begun >= 14000000n);
		await new Promise(setImmediate);
		step('timer');
	}
}

async function promises() {
	let n = 0;
	while (!stop) {
		const got = await Promise.all([1, 2, 3].map(async (x) => { await null; return x * n; }));
		assert.deepStrictEqual(got, [n, 2 * n, 3 * n]);
		n++;
		step('promise');
		await sleep(1);
	}
}

// Connections that stay, over a socket of unix, and a new one each time, over one of the internet.
async function web() {
	const body = crypto.randomBytes(200000);
	const digest = crypto.createHash('sha256').update(body).digest('hex');
	const servers = [0, 1].map(() => http.createServer((q, r) => q.pipe(r)));
	const kept = new http.Agent({ keepAlive: true, maxSockets: 3 });
	const ways = [{ socketPath: path.join(where, 'web.sock'), agent: kept }, { port: 7002, agent: false }];
	await new Promise((done) => servers[0].listen(ways[0].socketPath, done));
	await new Promise((done) => servers[1].listen(7002, '127.0.0.1', done));
	const ask = (way) => new Promise((done, broken) => {
		const hash = crypto.createHash('sha256');
		const q = http.request({ host: '127.0.0.1', method: 'POST', ...way }, (r) => {
			r.on('data', (d) => hash.update(d)).on('end', () => done(hash.digest('hex'))).on('error', broken);
		});
		q.on('error', broken);
		q.end(body);
	});
	while (!stop) {
		for (const got of await Promise.all([ways[0], ways[0], ways[1], ways[1]].map(ask)))
			assert.strictEqual(got, digest);
		step('http');
	}
	kept.destroy();
	servers.forEach((s) => s.close());
}

async function files() {
	const name = path.join(where, 'file');
	for (let n = 0; !stop; n++) {
		await fs.promises.writeFile(name, `content ${n}`);
		assert.strictEqual(await fs.promises.readFile(name, 'utf8'), `content ${n}`);
		step('file');
	}
}

async function threadpool() {
	const data = Buffer.alloc(100000, 'abc');
	while (!stop) {
		const packed = await new Promise((done, broken) => zlib.deflate(data, (e, d) => e ? broken(e) : done(d)));
		assert(zlib.inflateSync(packed).equals(data));
		step('zlib');
	}
}

async function children() {
	while (!stop) {
		const out = await new Promise((done, broken) =>
			execFile('echo', ['hello'], (e, text) => e ? broken(e) : done(text)));
		assert.strictEqual(out, 'hello\n');
		step('child');
	}
}

async function pipe() {
	const cat = spawn('cat');
	for (let n = 0; !stop; n++) {
		const answer = new Promise((done) => cat.stdout.once('data', done));
		cat.stdin.write(`${n}\n`);
		assert.strictEqual(String(await answer), `${n}\n`);
		step('pipe');
	}
	cat.stdin.end();
}

async function collected() {
	let kept = [];
	while (!stop) {
		for (let i = 0; i < 2000; i++)
			kept.push({ i, text: `object ${i}` });
		assert(kept.every((o, k) => o.text === `object ${k % 2000}`));
		if (kept.length > 50000)
			kept = [];
		step('collected');
		await sleep(2);
	}
}

async function main() {
	const all = [workers, compiled, timers, promises, web, files, threadpool, children, pipe, collected].map((f) => f());
	while (!kinds.every((k) => counts[k]))
		await sleep(10);
	fs.writeFileSync(path.join(where, 'ready'), '');
	while (!fs.existsSync(path.join(where, 'go')))
		await sleep(10);
	// each of them goes on, not only what was under way
	const before = { ...counts };
	const until = Date.now() + 30000;
	while (!kinds.every((k) => counts[k] >= before[k] + 5)) {
		assert(Date.now() < until, `stands still: ${JSON.stringify([before, counts])}`);
		await sleep(10);
	}
	stop = true;
	await Promise.all(all);
	console.log(JSON.stringify(counts));
	finish('OK');
}
main();
