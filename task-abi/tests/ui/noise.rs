use task_abi::{Context, setup, task};

struct User {
    name: String,
}

fn greet(user: &User) -> String {
    format!("hello {}", user.name)
}

#[task(tag = ["io"])]
fn fetch_user(ctx: &Context) -> User {
    let (mut unused, user) = (1, User { name: "Ada".to_owned() });
    greet(&user);
    user
}

#[task(after = [fetch_user])]
fn email_user(_fetch_user: u8) {}

#[setup(name = "x")]
fn prepare(ctx: &Context) {}

fn main() {}
