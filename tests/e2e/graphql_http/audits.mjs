// node audits.mjs URL: runs graphql-http's audits on it, one after the other, and prints what became of each as JSON.
import { serverAudits } from 'graphql-http'

const results = []
for (const audit of serverAudits({ url: process.argv[2] })) {
  const { status, reason } = await audit.fn()
  results.push({ id: audit.id, name: audit.name, status, reason })
}
process.stdout.write(JSON.stringify(results))
