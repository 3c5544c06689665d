// The schema and resolvers that both Node peers serve: dataloaders per request, which ask only the columns that are selected.
import DataLoader from 'dataloader'

export const typeDefs = /* GraphQL */ `
  enum Direction { ASC DESC }
  enum PostOrderField { KEY CREATED_AT }
  input PostOrder { field: PostOrderField! direction: Direction! = ASC }
  enum EventGroup { TYPE }
  type Query {
    user(id: ID!): User
    users(first: Int = 10): UserConnection!
    posts(first: Int = 10): PostConnection!
  }
  type UserConnection { nodes: [User!]! }
  type PostConnection { nodes: [Post!]! }
  type EventConnection { nodes: [Event!]! }
  type User {
    id: ID! name: String! email: String! active: Boolean! gender: String birthday: String createdAt: String! updatedAt: String!
    posts(first: Int = 10, orderBy: [PostOrder!]): PostConnection!
    events(first: Int = 10): EventConnection!
    eventStats(groupBy: [EventGroup!]! = [TYPE]): [EventStat!]!
    recommendations(first: Int = 10): [Recommendation!]
  }
  type Post { id: ID! title: String! published: Boolean! author: User events(first: Int = 10): EventConnection! }
  type Event { id: ID! type: String! user: User post: Post }
  type EventStat { type: String count: Int! firstAt: String! lastAt: String! }
  type Recommendation { post: Post! score: Float! because: [User!]! }
`

const USER = {
  name: 'name', email: 'email', active: 'active', gender: 'gender', birthday: 'birthday', createdAt: 'created_at', updatedAt: 'updated_at',
}
const POST = {title: 'title', published: 'published', author: 'author_id'}
const EVENT = {type: 'type', user: 'user_id', post: 'post_id'}

// The columns that a field's selection needs, the key first; found once per field of a parsed document.
const columnsOf = new WeakMap()
function columns(info, of, {below, first = []} = {}) {
  const node = info.fieldNodes[0]
  let found = columnsOf.get(node)
  if (!found) {
    let selected = node.selectionSet.selections
    if (below) selected = selected.filter(field => field.name.value === below).flatMap(field => field.selectionSet.selections)
    const asked = [...new Set([...first, 'id', ...selected.map(field => of[field.name.value]).filter(Boolean)])]
    columnsOf.set(node, (found = {columns: asked, key: asked.join()}))
  }
  return found
}

export class Context {
  constructor(stores) {
    this.stores = stores
    this.loaders = new Map()
  }

  // Groups of rows by a column; `identity` tells batches apart that ask for other columns or arguments.
  groups(identity, by, batch) {
    return this.loader(identity, async keys => {
      const groups = new Map(keys.map(key => [key, []]))
      for (const row of await batch(keys)) groups.get(row[by]).push(row)
      return keys.map(key => groups.get(key))
    })
  }

  rows(identity, batch) {
    return this.loader(identity, async keys => {
      const rows = new Map()
      for (const row of await batch(keys)) rows.set(row.id, row)
      return keys.map(key => rows.get(key) ?? null)
    })
  }

  loader(identity, batch) {
    let loader = this.loaders.get(identity)
    if (!loader) this.loaders.set(identity, (loader = new DataLoader(batch)))
    return loader
  }
}

const newestFirst = orderBy => orderBy?.[0]?.field === 'CREATED_AT' && orderBy[0].direction === 'DESC'

function userLoader(context, info) {
  const {columns: asked, key} = columns(info, USER)
  return context.rows(`user ${key}`, keys => context.stores.usersById(asked, keys))
}

function postLoader(context, info) {
  const {columns: asked, key} = columns(info, POST)
  return context.rows(`post ${key}`, keys => context.stores.postsById(asked, keys))
}

export const resolvers = {
  Query: {
    user: async (_, {id}, {stores}, info) => (await stores.user(columns(info, USER).columns, id.replace(/^User:/, '')))[0] ?? null,
    users: async (_, {first}, {stores}, info) => ({nodes: await stores.users(columns(info, USER, {below: 'nodes'}).columns, first)}),
    posts: async (_, {first}, {stores}, info) => ({nodes: await stores.posts(columns(info, POST, {below: 'nodes'}).columns, first)}),
  },
  User: {
    id: user => `User:${user.id}`,
    createdAt: user => user.created_at,
    updatedAt: user => user.updated_at,
    posts: async (user, {first, orderBy}, context, info) => {
      const {columns: asked, key} = columns(info, POST, {below: 'nodes', first: ['author_id']})
      const newest = newestFirst(orderBy)
      const loader = context.groups(`posts ${first} ${newest} ${key}`, 'author_id', keys => context.stores.postsByAuthor(asked, keys, first, newest))
      return {nodes: await loader.load(user.id)}
    },
    events: async (user, {first}, context, info) => {
      const {columns: asked, key} = columns(info, EVENT, {below: 'nodes', first: ['user_id']})
      const loader = context.groups(`events ${first} ${key}`, 'user_id', keys => context.stores.eventsByUser(asked, keys, first))
      return {nodes: await loader.load(user.id)}
    },
    eventStats: (user, _, context) => context.groups('stats', 'user_id', keys => context.stores.stats(keys)).load(user.id),
    recommendations: (user, {first}, context) =>
      context.groups(`recommendations ${first}`, 'k', keys => context.stores.recommendations(keys, first)).load(user.id),
  },
  Post: {
    id: post => `Post:${post.id}`,
    author: (post, _, context, info) => userLoader(context, info).load(post.author_id),
    events: async (post, {first}, context, info) => {
      const {columns: asked, key} = columns(info, EVENT, {below: 'nodes', first: ['post_id']})
      const loader = context.groups(`post events ${first} ${key}`, 'post_id', keys => context.stores.eventsByPost(asked, keys, first))
      return {nodes: await loader.load(post.id)}
    },
  },
  Event: {
    id: event => `Event:${event.id}`,
    user: (event, _, context, info) => userLoader(context, info).load(event.user_id),
    post: (event, _, context, info) => (event.post_id === null ? null : postLoader(context, info).load(event.post_id)),
  },
  EventStat: {
    firstAt: stat => stat.first_at,
    lastAt: stat => stat.last_at,
  },
  Recommendation: {
    post: (recommendation, _, context, info) => postLoader(context, info).load(recommendation.post_id),
    because: (recommendation, _, context, info) => userLoader(context, info).loadMany(recommendation.because),
  },
}
