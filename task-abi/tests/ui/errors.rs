use task_abi::task;

struct Bad;

#[task]
fn fails_without_words() -> Result<u8, Bad> {
    Err(Bad)
}

fn main() {}
