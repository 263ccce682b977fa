// Judges webhooks from standard input with the specification's own library. The Go test makes them.
import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { Webhook, WebhookVerificationError } from 'standardwebhooks'

const webhooks = JSON.parse(await text(process.stdin))
for (const { header, body, secret, ok } of webhooks) {
  const verify = () => new Webhook(secret).verify(body, header)
  if (ok) {
    assert.deepEqual(verify(), JSON.parse(body))
  } else {
    assert.throws(verify, WebhookVerificationError)
  }
}
console.log(`${webhooks.length} webhooks judged as expected`)
