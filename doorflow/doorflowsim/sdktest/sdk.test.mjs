// Drives the simulation with DoorFlow's own SDK: connect, refresh, read, receive a webhook, disconnect.
// The Go test TestOfficialSDK starts the simulation and passes its address and secrets in the environment.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'

const { SIM_URL, SIM_CLIENT_ID, SIM_CLIENT_SECRET, SIM_REDIRECT_URI, SIM_WEBHOOK_SECRET } = process.env

// Version 1.0.0's ES modules lack file extensions, which Node refuses, and its entry point leaves out the
// webhook functions that the package has. Hence require, and a file path for the verifier.
const require = createRequire(import.meta.url)
const { DoorFlowAuth, AccountsApi, ChannelsApi, CredentialsApi, CredentialTypesApi, EventsApi, PeopleApi, SyncApi,
  OauthApi } = require('doorflow')
const { verifyWebhook } = require('./node_modules/doorflow/dist/src/webhooks/verify.js')

class MemoryStorage {
  tokens = null
  async load() { return this.tokens }
  async save(tokens) { this.tokens = tokens }
  async clear() { this.tokens = null }
}

const account = 'hX9aQ2'
const storage = new MemoryStorage()
const auth = new DoorFlowAuth({
  clientId: SIM_CLIENT_ID, clientSecret: SIM_CLIENT_SECRET, redirectUri: SIM_REDIRECT_URI, basePath: SIM_URL, storage,
  scopes: ['account.person', 'account.channel.readonly', 'account.credential_type.readonly',
    'account.event.access.readonly', 'account.sync'],
})
const config = auth.getConfiguration()

await connect()
await refresh()
const event = await receive()
await read(event)
await write()
await disconnect()
console.log('ok')
process.exit(0)

// connect goes through the consent page as a browser would: fetch the form, send it back with a choice.
async function connect() {
  const { url, state, codeVerifier } = await auth.getAuthorizationUrl({ usePKCE: true })
  const page = await fetch(url)
  assert.equal(page.status, 200)
  const html = await page.text()
  const form = new URLSearchParams({ account, decision: 'allow' })
  for (const [, name, value] of html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)) {
    form.set(name, value.replaceAll('&#43;', '+').replaceAll('&amp;', '&'))
  }
  const answer = await fetch(`${SIM_URL}/oauth/authorize`, { method: 'POST', body: form, redirect: 'manual' })
  assert.equal(answer.status, 302)
  const callback = new URL(answer.headers.get('location'))
  assert.equal(callback.origin + callback.pathname, SIM_REDIRECT_URI)
  assert.equal(callback.searchParams.get('state'), state)
  const tokens = await auth.handleCallback(callback.searchParams.get('code'), callback.searchParams.get('state'), state, codeVerifier)
  assert.ok(tokens.accessToken && tokens.refreshToken && tokens.expiresAt > Date.now() / 1000)
  assert.equal(await auth.getAccessToken(), tokens.accessToken)
}

async function refresh() {
  const before = { ...storage.tokens }
  storage.tokens.expiresAt = 0 // makes getAccessToken refresh
  const access = await auth.getAccessToken()
  assert.notEqual(access, before.accessToken)
  assert.notEqual(storage.tokens.refreshToken, before.refreshToken)
  const info = await new OauthApi(config).getTokenInfo()
  assert.equal(info.accountId, account)
  assert.ok(info.scope.includes('account.person'))
}

// receive lets an event happen and checks the webhook with the SDK's verifier, over the raw body.
async function receive() {
  const receiver = createServer()
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  await control('/sim/webhook_url', { url: `http://127.0.0.1:${receiver.address().port}/hooks` })
  const request = once(receiver, 'request')
  await control(`/sim/accounts/${account}/events`, { code: 11, person_id: 4821, channel_id: 5012, credentials_number: '604219' })
  const [req, res] = await request
  const body = Buffer.concat(await req.toArray()).toString('utf8')
  res.end()
  assert.deepEqual(Object.keys(req.headers).sort(), ['connection', 'content-length', 'content-type', 'host', 'signature', 'timestamp'].filter(h => h in req.headers))
  const events = verifyWebhook(body, req.headers.signature, req.headers.timestamp, SIM_WEBHOOK_SECRET)
  assert.throws(() => verifyWebhook(body + ' ', req.headers.signature, req.headers.timestamp, SIM_WEBHOOK_SECRET))
  assert.equal(events.length, 1)
  assert.equal(events[0].action, 'CREATE')
  assert.equal(events[0].resourceType, 'Event')
  assert.equal(events[0].accountId, account)
  assert.ok(events[0].resource.startsWith(`${SIM_URL}/api/3/events/${events[0].resourceId}?ack_token=`))
  receiver.close()
  await control('/sim/webhook_url', { url: '' })
  return events[0]
}

async function read(hook) {
  const events = new EventsApi(config)
  const one = await events.getEvent({ id: Number(hook.resourceId), ackToken: hook.ackToken })
  assert.equal(one.personName, 'Ana Pereira')
  assert.equal(one.eventCode, 11)
  const list = await events.listEvents({ eventCodes: [11], n: 10 })
  assert.equal(list[0].id, one.id)
  const people = await new PeopleApi(config).listPeople({ email: 'ANA@' })
  assert.deepEqual(people.map(p => p.firstName), ['Ana'])
  const channels = await new ChannelsApi(config).listChannels({})
  assert.ok(channels.some(c => c.name === 'Loading Bay' && c.mode.description === 'normal'))
  assert.equal((await new AccountsApi(config).getAccount()).id, account)
  const ledger = await (await fetch(`${SIM_URL}/sim/ledger`)).json()
  const entry = ledger.find(e => e.ack_token === hook.ackToken)
  assert.ok(entry.delivered && entry.acknowledged)
}

async function write() {
  const people = new PeopleApi(config)
  const person = await people.createPerson({ personInput: { firstName: 'Gita', lastName: 'Rao', email: 'gita@example.test' } })
  const types = await new CredentialTypesApi(config).listCredentialTypes({})
  const pin = types.find(t => t.code === 10)
  const credentials = new CredentialsApi(config)
  const made = await credentials.createCredential({ personId: person.id,
    credentialInput: { personCredential: { credentialTypeId: pin.id, value: '******' } } })
  assert.match(made.value, /^\d{4,8}$/)
  await credentials.deleteCredential({ personId: person.id, id: made.id })
  assert.equal((await new SyncApi(config).initiateSync()).result, 'ok')
  await assert.rejects(new SyncApi(config).initiateSync(), error => error.response.status === 429)
}

async function disconnect() {
  const { accessToken } = storage.tokens
  await auth.disconnect()
  assert.equal(storage.tokens, null)
  const answer = await fetch(`${SIM_URL}/api/3/account`, { headers: { Authorization: `Bearer ${accessToken}` } })
  assert.equal(answer.status, 401)
}

async function control(path, body) {
  const answer = await fetch(SIM_URL + path, { method: 'POST', body: JSON.stringify(body) })
  assert.ok(answer.ok, `${path}: ${answer.status}`)
}
