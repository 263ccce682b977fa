// Takes Gatehouse's deliveries: at /webhooks by the Standard Webhooks headers, at /doorflow by those that DoorFlow's own
// webhooks have. It prints each message once. It needs Node 18 and no packages.
import { createServer } from 'node:http'
import { parseSecrets, verify, verifyDoorFlow } from './verify.mjs'

const secrets = parseSecrets(process.env.WEBHOOK_SECRETS ?? '')
const paths = { '/webhooks': verify, '/doorflow': verifyDoorFlow }
const maxBody = 1 << 20
const maxSeen = 10_000
const seen = new Set() // the last ids

const server = createServer({ requestTimeout: 10_000 }, async (req, res) => {
  const answer = status => res.writeHead(status, { Connection: 'close' }).end()
  if (req.method !== 'POST' || !Object.hasOwn(paths, req.url)) {
    return answer(404)
  }
  const chunks = []
  let length = 0
  try {
    for await (const chunk of req) { // the bytes as they came: they are what is signed
      length += chunk.length
      if (length > maxBody) {
        return answer(413)
      }
      chunks.push(chunk)
    }
  } catch {
    return // the sender hung up
  }
  const body = Buffer.concat(chunks)
  let id, message
  try {
    id = paths[req.url](req.headers, body, secrets)
    message = JSON.parse(body)
  } catch (error) {
    console.error('refused:', error.message) // for you; the sender learns nothing from the answer
    return answer(401)
  }
  // A real receiver puts the message into its database or queue here, with the id as a unique key, and works on it
  // after it has answered.
  if (first(id)) {
    console.log('received', id, message.type)
  }
  answer(204)
})

// first tells whether an id comes for the first time.
function first(id) {
  if (seen.has(id)) {
    return false
  }
  if (seen.size === maxSeen) {
    seen.delete(seen.values().next().value)
  }
  seen.add(id)
  return true
}

const [host, port] = (process.env.ADDR ?? '127.0.0.1:8095').split(':')
server.listen(Number(port), host, () => console.log(`listening on http://${host}:${server.address().port}`))
