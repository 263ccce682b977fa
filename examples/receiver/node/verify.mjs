import { createHmac, timingSafeEqual } from 'node:crypto'

const tolerance = 300 // seconds, in both directions

// parseSecrets reads one "whsec_…" or, around a rotation, several with commas.
export function parseSecrets(text) {
  const secrets = text.split(',')
  if (!secrets.every(secret => secret.startsWith('whsec_') && key(secret).length >= 24)) {
    throw new Error('want secrets such as whsec_…')
  }
  return secrets
}

// verify checks a delivery by its webhook-… headers and returns its id. The same id is the same message again.
// The body is a Buffer: the bytes as they came.
export function verify(headers, body, secrets) {
  const id = headers['webhook-id'] ?? ''
  const timestamp = headers['webhook-timestamp'] ?? ''
  const wanted = secrets.map(secret =>
    'v1,' + createHmac('sha256', key(secret)).update(`${id}.${timestamp}.`).update(body).digest('base64'))
  check((headers['webhook-signature'] ?? '').split(' '), wanted, timestamp)
  return id
}

// verifyDoorFlow checks it by Timestamp and Signature, as DoorFlow's own webhooks are checked. They do not cover the
// webhook-id header, so the id is the body's.
export function verifyDoorFlow(headers, body, secrets) {
  const timestamp = headers.timestamp ?? ''
  const wanted = secrets.map(secret => createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex'))
  check([headers.signature ?? ''], wanted, timestamp)
  return JSON.parse(body).id
}

function key(secret) {
  return Buffer.from(secret.slice('whsec_'.length), 'base64')
}

function check(given, wanted, timestamp) {
  // In constant time, and all of them: how long it takes does not tell what fits.
  const fits = given.flatMap(g => wanted.map(w => same(Buffer.from(g), Buffer.from(w))))
  if (!fits.includes(true)) {
    throw new Error('no signature fits the body and the secrets')
  }
  if (!/^[0-9]{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > tolerance) {
    throw new Error('the timestamp is too far from now')
  }
}

function same(a, b) {
  return a.length === b.length && timingSafeEqual(a, b)
}
