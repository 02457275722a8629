// A certified OpenID provider (npm oidc-provider), steered by its tests. Prints {"issuer": ...} when it is ready.
//
// Whoever comes signs in at once, as the account that POST /test/account named last: {"sub", "email", ...}.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const { PORT = '0', CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, LOGOUT_URI, AFTER_URI } = process.env;
let account = {};
const accounts = new Map();

const server = createServer((request, response) => handle(request, response));
server.listen(Number(PORT), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  provider = makeProvider(issuer);
  console.log(JSON.stringify({ issuer }));
});
let provider;

function makeProvider(issuer) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const made = new Provider(issuer, {
    clients: [{
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: [REDIRECT_URI],
      post_logout_redirect_uris: [AFTER_URI],
      backchannel_logout_uri: LOGOUT_URI,
      backchannel_logout_session_required: true,
    }],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' }] },
    cookies: { keys: [randomUUID()] },
    claims: { openid: ['sub', 'acr', 'amr'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    acrValues: ['gold', 'silver'],
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        // Whoever wants to sign out here does: the form of the question, as its answer.
        logoutSource: async (context, form) => { context.body = form; },
      },
    },
    // Without its dispatcher, which talks to no loopback address: our logout address is on this machine.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    pkce: { required: () => true },
    interactions: { url: (context, interaction) => `/interaction/${interaction.uid}` },
    findAccount: async (context, sub) => ({ accountId: sub, claims: async () => ({ sub, ...accounts.get(sub) }) }),
  });
  made.on('backchannel.error', (context, error) => console.error('backchannel', error.message));
  return made;
}

async function handle(request, response) {
  try {
    if (request.url === '/test/account') {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      account = JSON.parse(Buffer.concat(chunks).toString());
      const { login, ...claims } = account;
      accounts.set(claims.sub, claims);
      response.writeHead(204).end();
    } else if (request.url.startsWith('/interaction/')) {
      await interact(request, response);
    } else {
      provider.callback()(request, response);
    }
  } catch (error) {
    console.error(error);
    response.writeHead(500).end(String(error));
  }
}

async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const login = { accountId: account.sub, ...account.login };
    await provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
    return;
  }
  const grant = grantId ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid email profile');
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}
