// The stores of the Node peers: the statements of statements.py through the drivers themselves, one call per batch.
// BENCH_STORES names the set-up (postgresql or three), BENCH_SETUP the JSON file with addresses and statements.
import {readFileSync} from 'node:fs'
import pg from 'pg'
import {MongoClient} from 'mongodb'
import neo4j from 'neo4j-driver'

const POOL_SIZE = 10

export const columnsKey = columns => columns.join()

export async function openStores() {
  const setup = JSON.parse(readFileSync(process.env.BENCH_SETUP, 'utf8'))
  const ask = await openPostgres(setup)
  const three = process.env.BENCH_STORES === 'three'
  const events = three ? await openMongo(setup) : sqlEvents(ask)
  const graph = three ? openNeo4j(setup) : {recommendations: (keys, first) => ask('recommendations', [], [keys, first])}
  return {
    user: (columns, key) => ask('user_by_id', columns, [key]),
    users: (columns, first) => ask('users_page', columns, [first]),
    usersById: (columns, keys) => ask('users_by_id', columns, [keys]),
    posts: (columns, first) => ask('posts_page', columns, [first]),
    postsById: (columns, keys) => ask('posts_by_id', columns, [keys]),
    postsByAuthor: (columns, keys, first, newest) => ask(newest ? 'posts_by_author_newest' : 'posts_by_author', columns, [keys, first]),
    ...events,
    ...graph,
  }
}

async function openPostgres({postgresql, statements}) {
  const pool = new pg.Pool({connectionString: postgresql, max: POOL_SIZE, min: POOL_SIZE, options: '-c jit=off'})
  const expressions = statements.expressions.postgresql
  const prepared = new Map()
  const prepare = (name, columns) => {
    const asked = columns.map(column => `${expressions[column] ?? `t.${column}`} AS ${column}`).join(', ')
    return {name: `${name}:${prepared.size}`, text: statements.postgresql[name].replace('{columns}', asked)}
  }
  return async (name, columns, values) => {
    const key = `${name}:${columnsKey(columns)}`
    if (!prepared.has(key)) prepared.set(key, prepare(name, columns))
    return (await pool.query({...prepared.get(key), values})).rows
  }
}

function sqlEvents(ask) {
  return {
    eventsByUser: (columns, keys, first) => ask('events_by_user', columns, [keys, first]),
    eventsByPost: (columns, keys, first) => ask('events_by_post', columns, [keys, first]),
    stats: keys => ask('stats_by_user', [], [keys]),
  }
}

async function openMongo({mongodb}) {
  const client = await new MongoClient(mongodb, {maxPoolSize: POOL_SIZE}).connect()
  const events = client.db().collection('events')
  const format = '%Y-%m-%dT%H:%M:%S.%LZ'
  const utc = path => ({$dateToString: {date: path, format}})
  const fields = {id: '$_id', occurred_at: utc('$occurred_at')}
  const page = async (by, columns, keys, first) => {
    const row = Object.fromEntries(columns.map(column => [column, fields[column] ?? `$${column}`]))
    const groups = await events.aggregate([
      {$match: {[by]: {$in: keys}}},
      {$sort: {[by]: 1, _id: 1}},
      {$group: {_id: `$${by}`, rows: {$firstN: {n: first, input: row}}}},
    ]).toArray()
    return groups.flatMap(group => group.rows)
  }
  return {
    eventsByUser: (columns, keys, first) => page('user_id', columns, keys, first),
    eventsByPost: (columns, keys, first) => page('post_id', columns, keys, first),
    stats: keys => events.aggregate([
      {$match: {user_id: {$in: keys}}},
      {$group: {_id: {u: '$user_id', t: '$type'}, count: {$sum: 1}, first: {$min: '$occurred_at'}, last: {$max: '$occurred_at'}}},
      {$sort: {'_id.u': 1, '_id.t': 1}},
      {$project: {_id: 0, user_id: '$_id.u', type: '$_id.t', count: 1, first_at: utc('$first'), last_at: utc('$last')}},
    ]).toArray(),
  }
}

function openNeo4j({neo4j: url, neo4j_auth: [user, password], neo4j_database: database, statements}) {
  const driver = neo4j.driver(url, neo4j.auth.basic(user, password), {maxConnectionPoolSize: POOL_SIZE, disableLosslessIntegers: true})
  return {
    recommendations: async (keys, first) => {
      const session = driver.session({database, defaultAccessMode: neo4j.session.READ})
      try {
        const {records} = await session.run(statements.cypher, {keys, first: neo4j.int(first)})
        return records.map(record => ({k: record.get(0), post_id: record.get(1), score: record.get(2), because: record.get(3)}))
      } finally {
        await session.close()
      }
    },
  }
}
