use task_abi::command;

command! { run = ["ls"] }

command! { name = "nothing" }

command! { name = "both", run = ["ls"], shell = "ls" }

command! { name = "empty", run = [] }

command! { name = "words", run = "ls -l" }

command! { name = "odd words", run = ["ls", 1] }

command! { name = "env", run = ["ls"], env = ["LANG=C"] }

command! { name = "env", run = ["ls"], env(LANG = 1) }

command! { name = "check", run = ["ls"], check = "no" }

command! { name = "key", run = ["ls"], dir = "x" }

command! { name = "far key", run = ["ls"], colour = "x" }

command! { #[cfg(unix)] name = "cfg", run = ["ls"] }

command! { name = "pack::[env]", run = ["ls"], choices(arch = ["arm"]) }

fn main() {}
