#![allow(unused)]

use task_abi::task;

struct Client;

impl Client {
    #[task]
    fn method(&self) {}
}

fn main() {}
