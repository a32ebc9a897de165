//! Results have types: a parameter with the name of a task is that task's result, and makes it a dependency.
//!
//! ```text
//! cargo build --example onboarding
//! tdrun target/debug/examples/libonboarding.so
//! tdrun target/debug/examples/libonboarding.so --env=prod
//! tdrun target/debug/examples/libonboarding.so::email_user --result-fetch_user='{"id":1,"name":"Bo","email":"bo@example.org"}' \
//!                                                          --result-fetch_settings='{"newsletter":false,"language":"sv"}'
//! ```

use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use task_abi::{Result, State, bail, setup, task};

#[derive(Serialize, Deserialize)]
struct User {
    id: u32,
    name: String,
    email: String,
}

#[derive(Serialize, Deserialize)]
struct Settings {
    newsletter: bool,
    language: String,
}

/// Refuses environments that nobody knows, before anything runs.
#[setup]
fn known_environment(state: &State, #[state] env: Option<String>) -> Result {
    let server = match env.as_deref().unwrap_or("dev") {
        "dev" => "http://localhost:8080",
        "prod" => "https://mail.example.org",
        other => bail!("unknown environment `{other}`, write --env=dev or --env=prod"),
    };
    state.set("server", server)?;
    Ok(())
}

/// Asks the user service.
#[task(tags = ["fetch"])]
fn fetch_user(state: &State) -> Result<User> {
    pause(state)?;
    Ok(User {
        id: 42,
        name: "Ada".to_owned(),
        email: "ada@example.org".to_owned(),
    })
}

/// Asks the settings service, at the same time.
#[task(tags = ["fetch"])]
fn fetch_settings(state: &State) -> Result<Settings> {
    pause(state)?;
    Ok(Settings {
        newsletter: true,
        language: "en".to_owned(),
    })
}

/// Writes the mail; runs when both are there.
#[task(tags = ["mail"])]
fn email_user(
    fetch_user: User,
    fetch_settings: Settings,
    #[state] server: String,
) -> Result<String> {
    let User { id, name, email } = fetch_user;
    if !email.contains('@') {
        bail!("user {id} has no usable address: `{email}`");
    }
    let greeting = match fetch_settings.language.as_str() {
        "sv" => "Hej",
        _ => "Hello",
    };
    log::info!("sending a mail to {email} over {server}");
    let footer = if fetch_settings.newsletter {
        " (newsletter follows)"
    } else {
        ""
    };
    Ok(format!("{greeting} {name}!{footer}"))
}

fn pause(state: &State) -> Result {
    if state.get::<String>("fast")?.is_none() {
        sleep(Duration::from_millis(300));
    }
    Ok(())
}
