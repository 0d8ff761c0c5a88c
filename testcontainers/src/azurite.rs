//! Azurite: Azure's blob store on this machine. Proves requests and error mapping, not the real cloud.

use anyhow::{Context, Result};
use testcontainers::{
    ContainerAsync,
    core::{CmdWaitFor, ExecCommand},
    runners::AsyncRunner,
};
use testcontainers_modules::azurite::{Azurite as Image, BLOB_PORT};

use crate::reaper;

/// Creating a container needs a signed request; the server's own runtime has what signing takes.
const CREATE_CONTAINER: &str = r#"
const [account, key, name] = process.argv.slice(1);
const [date, version] = [new Date().toUTCString(), "2021-08-06"];
const headers = `x-ms-date:${date}\nx-ms-version:${version}\n`;
const text = `PUT${"\n".repeat(12)}${headers}/${account}/${account}/${name}\nrestype:container`;
const sign = require("crypto").createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
fetch(`http://127.0.0.1:10000/${account}/${name}?restype=container`, {
  method: "PUT",
  headers: { "x-ms-date": date, "x-ms-version": version, Authorization: `SharedKey ${account}:${sign}` },
}).then(async (answer) => process.exit(answer.status === 201 ? 0 : 1));
"#;

/// An Azurite server without containers.
#[derive(Debug)]
pub struct Azurite {
    container: ContainerAsync<Image>,
    endpoint: String,
}

impl Azurite {
    pub const ACCOUNT: &str = "devstoreaccount1";
    /// The key that every Azurite has; no secret.
    pub const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    pub async fn start() -> Result<Self> {
        // The client speaks a newer version of the API than this server knows by name.
        let image = Image::default().with_skip_api_version_check().with_disable_telemetry();
        let container = reaper::owned(image)
            .start()
            .await
            .context("Azurite did not start (is its image there? ./x images)")?;
        let port = container.get_host_port_ipv4(BLOB_PORT).await?;
        Ok(Self { container, endpoint: format!("http://127.0.0.1:{port}/{}", Self::ACCOUNT) })
    }

    /// URL of the account, `http://host:port/account`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Creates a blob container. An error when it exists.
    pub async fn create_container(&self, name: &str) -> Result<()> {
        let command = ["node", "-e", CREATE_CONTAINER, Self::ACCOUNT, Self::KEY, name];
        let command = ExecCommand::new(command).with_cmd_ready_condition(CmdWaitFor::exit_code(0));
        self.container.exec(command).await.with_context(|| format!("container {name} not created"))?;
        Ok(())
    }
}
