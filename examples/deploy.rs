//! One declaration, many tasks: services are built, deployed to environments and tried out, each of them a task with a name of
//! its own; and what has to come before, at the end, or in any case says so itself.
//!
//! ```text
//! cargo build --example deploy
//! tdrun target/debug/examples/libdeploy.so                                      all services, everywhere
//! tdrun 'target/debug/examples/libdeploy.so::deploy::staging::*' --with-deps    to one environment
//! tdrun target/debug/examples/libdeploy.so --broken=prod                        nothing is announced, the tunnel is closed
//! ```

use serde::{Deserialize, Serialize};
use task_abi::{Context, Result, bail, task};

/// A value that is no service is an error before anything runs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Service {
    Api,
    Web,
}

#[derive(Serialize, Deserialize)]
struct Artifact {
    file: String,
    bytes: u64,
}

fn environments() -> [&'static str; 2] {
    ["staging", "prod"]
}

/// Makes `build::api` and `build::web`.
#[task(name = "build::[service]", choices(service = ["api", "web"]), tags = ["build"])]
fn build(service: Service) -> Artifact {
    let (file, bytes) = match service {
        Service::Api => ("api.tar", 4096),
        Service::Web => ("web.tar", 512),
    };
    Artifact {
        file: file.to_owned(),
        bytes,
    }
}

/// Runs before the first deployment, whichever was selected.
#[task(before = [deploy])]
fn open_tunnel() {
    log::info!("the tunnel is open");
}

/// Where only `deploy::prod::web` was selected, `migrate::prod` runs before it.
#[task(
    name = "migrate::[env]",
    choices(env = environments),
    after = [open_tunnel],
    before = ["deploy::[env]::[service]"],
    locks = ["db_[env]"],
)]
fn migrate(env: String) {
    log::info!("the database of {env} is up to date");
}

/// Takes what was built for its service, and comes after that. One at a time goes through the tunnel.
#[task(
    name = "deploy::[env]::[service]",
    choices(env = environments, service = ["api", "web"]),
    locks = ["tunnel", "db_[env]:r"],
)]
fn deploy(env: String, #[result("build::[service]")] artifact: Artifact) -> String {
    let Artifact { file, bytes } = artifact;
    format!("{file} ({bytes} bytes) is on {env}")
}

/// In the second wave: not before all deployments have ended.
#[task(name = "try_out::[env]", choices(env = environments), after = ["deploy::[env]::*"], wave = 1)]
fn try_out(env: String, #[state] broken: Option<String>) -> Result {
    if broken.as_ref() == Some(&env) {
        bail!("{env} answers with status 502");
    }
    Ok(())
}

/// Whatever became of the others.
#[task(after = [open_tunnel, "try_out::*"], wave = 1, always)]
fn close_tunnel() {
    log::info!("the tunnel is closed");
}

/// Only where nothing has failed.
#[task(no_failures)]
fn announce(ctx: &Context) -> Result {
    for env in environments() {
        for service in ["api", "web"] {
            let deployed: Option<String> = ctx.result(&format!("deploy::{env}::{service}"))?;
            log::info!("{}", deployed.as_deref().unwrap_or("nothing new"));
        }
    }
    Ok(())
}
