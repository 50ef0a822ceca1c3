// The whole surface of script executions, through the Azure SDK for JavaScript. It ends with 0 when all of it was so.
//
//   ENDPOINT, SUBSCRIPTION, GROUP, CLOUD     where
//   CLIENT_ID, CLIENT_SECRET                 the SDK's own credential, against Airlock's token endpoint
//   TOKENS                                   or a URL that gives a new token for each request
const assert = require("node:assert/strict");
const { AzureVMwareSolutionAPI } = require("@azure/arm-avs");
const { ClientSecretCredential } = require("@azure/identity");

const { ENDPOINT, SUBSCRIPTION, GROUP, CLOUD, CLIENT_ID, CLIENT_SECRET, TOKENS } = process.env;
const scope = `${ENDPOINT}/.default`;
const cloudId = `/subscriptions/${SUBSCRIPTION}/resourceGroups/${GROUP}/providers/Microsoft.AVS/privateClouds/${CLOUD}`;
const cmdlet = (name) => `${cloudId}/scriptPackages/Example.Inventory@1.*/scriptCmdlets/${name}`;

const bySecret = (secret) =>
  new ClientSecretCredential("airlock", CLIENT_ID, secret, {
    authorityHost: ENDPOINT,
    disableInstanceDiscovery: true,
    retryOptions: { maxRetries: 0 },
  });
const byIssuer = {
  getToken: async () => ({ token: await (await fetch(TOKENS)).text(), expiresOnTimestamp: Date.now() }),
};

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

const names = (list) => list.map((one) => one.name);

async function refused(promise, code) {
  await assert.rejects(promise, (e) => (e.code ?? e.details?.error?.code) === code || e.message.includes(code));
}

async function main() {
  const credential = TOKENS ? byIssuer : bySecret(CLIENT_SECRET);
  const api = new AzureVMwareSolutionAPI(credential, SUBSCRIPTION, {
    endpoint: ENDPOINT,
    credentialScopes: scope,
    retryOptions: { maxRetries: 0 },
  });

  assert.ok(names(await all(api.operations.list())).includes("Microsoft.AVS/privateClouds/scriptExecutions/write"));
  assert.equal((await api.privateClouds.get(GROUP, CLOUD)).provisioningState, "Succeeded");
  assert.ok(names(await all(api.privateClouds.list(GROUP))).includes(CLOUD));
  assert.ok(names(await all(api.privateClouds.listInSubscription())).includes(CLOUD));

  assert.deepEqual(names(await all(api.scriptPackages.list(GROUP, CLOUD))), ["Example.Inventory@1.2.0"]);
  assert.equal((await api.scriptPackages.get(GROUP, CLOUD, "Example.Inventory@1.0.*")).version, "1.0.0");
  assert.equal((await all(api.scriptCmdlets.list(GROUP, CLOUD, "Example.Inventory@1.*"))).length, 4);
  const declared = await api.scriptCmdlets.get(GROUP, CLOUD, "Example.Inventory@1.2.0", "get-inventory");
  assert.equal(declared.parameters.length, 6);
  assert.equal(declared.timeout, "PT30M");

  const run = (name, execution) => api.scriptExecutions.beginCreateOrUpdateAndWait(GROUP, CLOUD, name, { timeout: "PT5M", ...execution });
  const done = await run("js-first", {
    scriptCmdletId: cmdlet("Get-Inventory"),
    parameters: [
      { name: "clustername", type: "Value", value: "c1" },
      { name: "Token", type: "SecureValue", secureValue: "hush-hush" },
    ],
    hiddenParameters: [{ name: "Login", type: "Credential", username: "root", password: "hush too" }],
  });
  assert.equal(done.provisioningState, "Succeeded");
  assert.deepEqual(done.output, ["host-1", "host-2"]);
  assert.ok(!JSON.stringify(done).includes("hush"));
  assert.ok(done.finishedAt >= done.submittedAt);
  assert.equal((await api.scriptExecutions.get(GROUP, CLOUD, "js-first")).name, "js-first");
  assert.ok(names(await all(api.scriptExecutions.list(GROUP, CLOUD))).includes("js-first"));

  await refused(run("js-fails", { scriptCmdletId: cmdlet("Invoke-Failure") }), "ScriptFailed");
  const failed = await api.scriptExecutions.getExecutionLogs(GROUP, CLOUD, "js-fails", { scriptOutputStreamType: ["Error"] });
  assert.deepEqual(failed.errors, ["on Error"]);
  assert.equal(failed.failureReason, "It fails, as it says. Run another.");

  const sleeping = run("js-sleeps", { scriptCmdletId: cmdlet("Start-Sleep") });
  const ended = refused(sleeping, "canceled");
  while (!names(await all(api.scriptExecutions.list(GROUP, CLOUD))).includes("js-sleeps")); // until the server has it
  await api.scriptExecutions.beginDeleteAndWait(GROUP, CLOUD, "js-sleeps");
  await ended;
  await refused(api.scriptExecutions.get(GROUP, CLOUD, "js-sleeps"), "ResourceNotFound");

  if (!TOKENS) {
    await assert.rejects(bySecret("wrong").getToken(scope), /The client id or the client secret is wrong/);
  }
  console.log("all of it was so");
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
