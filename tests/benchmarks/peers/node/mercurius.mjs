// Mercurius with jit, over dataloaders.
import Fastify from 'fastify'
import mercurius from 'mercurius'
import {openStores} from './stores.mjs'
import {Context, resolvers, typeDefs} from './schema.mjs'

const stores = await openStores()
const app = Fastify()
app.register(mercurius, {schema: typeDefs, resolvers, jit: 1, graphiql: false, context: () => new Context(stores)})
await app.listen({host: '127.0.0.1', port: Number(process.env.PORT)})
