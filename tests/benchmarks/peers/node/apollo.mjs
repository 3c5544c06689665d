// Apollo Server 5 behind Fastify, in production mode, over the same dataloaders.
import {ApolloServer} from '@apollo/server'
import fastifyApollo, {fastifyApolloDrainPlugin} from '@as-integrations/fastify'
import Fastify from 'fastify'
import {openStores} from './stores.mjs'
import {Context, resolvers, typeDefs} from './schema.mjs'

const stores = await openStores()
const app = Fastify()
const apollo = new ApolloServer({typeDefs, resolvers, plugins: [fastifyApolloDrainPlugin(app)]})
await apollo.start()
await app.register(fastifyApollo(apollo), {context: async () => new Context(stores)})
await app.listen({host: '127.0.0.1', port: Number(process.env.PORT)})
