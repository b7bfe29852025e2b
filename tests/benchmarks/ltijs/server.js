// ltijs as its own documentation sets it up, with its own PostgreSQL storage: redirect, then the checked launch.
const http = require('http')
const { Provider } = require('ltijs')
const Database = require('ltijs-sequelize')

const said = process.env
const [name, user, password, host] = JSON.parse(said.BENCH_LTIJS)
const storage = new Database(name, user, password, { host, dialect: 'postgres', logging: false, pool: { max: 8, min: 8 } })

const run = async () => {
  Provider.setup('a secret of the benchmark, thirty-two', { plugin: storage }, { appRoute: '/launch', loginRoute: '/login' })
  Provider.app.disable('x-powered-by')
  Provider.whitelist('/readyz')
  Provider.app.get('/readyz', (_asked, answer) => answer.send('ready'))
  Provider.onConnect((_token, _asked, answer) => answer.send('launched'))
  await Provider.deploy({ serverless: true, silent: true })
  await Provider.registerPlatform({
    url: said.BENCH_ISSUER,
    name: 'LMS',
    clientId: said.BENCH_CLIENT,
    authenticationEndpoint: 'https://lms.example/auth',
    accesstokenEndpoint: 'https://lms.example/token',
    authConfig: { method: 'JWK_KEY', key: said.BENCH_KEY }
  })
  http.createServer({ keepAliveTimeout: 60000 }, Provider.app).listen({ fd: Number(process.argv[2]) })
}

run().catch((fault) => { console.error(fault); process.exit(1) })
