// graphql-jit and graphql-js alone, over rows that are ready in memory: node executors.mjs FILE ENGINE.
// Lines on standard input: "answer OPERATION 0" prints an answer, "run OPERATION SECONDS" the CPU time of one answer in ms.
import {readFileSync} from 'node:fs'
import readline from 'node:readline'
import {execute, parse} from 'graphql'
import {compileQuery} from 'graphql-jit'
import {makeExecutableSchema} from '@graphql-tools/schema'
import {Context, resolvers, typeDefs} from './schema.mjs'

const [, , path, engine] = process.argv
const {tables, operations} = JSON.parse(readFileSync(path, 'utf8'))
const schema = makeExecutableSchema({typeDefs, resolvers})

// Objects by key with the asked columns alone, made once.
const kept = new Map()
function of(name, columns, keys) {
  const table = tables[name]
  columns = columns.length ? columns : table.columns
  const asked = `${name}:${columns.join()}`
  let groups = kept.get(asked)
  if (!groups) {
    const slots = columns.map(column => table.columns.indexOf(column))
    const object = row => Object.fromEntries(columns.map((column, i) => [column, row[slots[i]]]))
    const found = table.groups ? Object.entries(table.groups) : table.rows.map(row => [row[0], [row]])
    kept.set(asked, (groups = new Map(found.map(([key, rows]) => [key, rows.map(object)]))))
  }
  const rows = []
  for (const key of keys) for (const row of groups.get(key) ?? []) rows.push(row)
  return rows
}

const first = (name, count) => tables[name].rows.slice(0, count).map(row => row[0])
const stores = {
  user: async (columns, key) => of('users', columns, [key]),
  users: async (columns, count) => of('users', columns, first('users', count)),
  usersById: async (columns, keys) => of('users', columns, keys),
  posts: async (columns, count) => of('posts', columns, first('posts', count)),
  postsById: async (columns, keys) => of('posts', columns, keys),
  postsByAuthor: async (columns, keys, _, newest) => of(newest ? 'posts_by_author_newest' : 'posts_by_author', columns, keys),
  eventsByUser: async (columns, keys) => of('events_by_user', columns, keys),
  eventsByPost: async (columns, keys) => of('events_by_post', columns, keys),
  stats: async keys => of('stats', [], keys),
  recommendations: async keys => of('recommendations', [], keys),
}

const ready = new Map(operations.map(({name, query, variables}) => {
  const document = parse(query)
  const compiled = compileQuery(schema, document, name)
  const once = engine === 'graphql-jit'
    ? () => compiled.query({}, new Context(stores), variables)
    : () => execute({schema, document, contextValue: new Context(stores), variableValues: variables, operationName: name})
  return [name, async () => JSON.stringify(await once())]
}))

for await (const line of readline.createInterface({input: process.stdin})) {
  const [what, name, seconds] = line.split(' ')
  const answer = ready.get(name)
  if (what === 'answer') {
    console.log(await answer())
    continue
  }
  const end = performance.now() + seconds * 1000
  const before = process.cpuUsage()
  let count = 0
  while (performance.now() < end) {
    await answer()
    count++
  }
  const {user, system} = process.cpuUsage(before)
  console.log((user + system) / count / 1000)
}
