//! Selecting by tags: 35 tasks in six layers, each of which comes after one of the layer before.
//!
//! ```text
//! cargo build --example layers
//! tdrun target/debug/examples/liblayers.so                        all of them; three fail on purpose, so it exits 1
//! tdrun target/debug/examples/liblayers.so --tags=layer4          one layer
//! tdrun target/debug/examples/liblayers.so --tags=layer4,capA     those of the layer that have both tags
//! tdrun 'target/debug/examples/liblayers.so::test_02_*'           by name
//! ```

use std::thread::sleep;
use std::time::Duration;

use task_abi::{Context, Result, bail, task};

/// Declares the tasks of a layer: `name after dependency [its other tags] outcome`, all but the name optional.
macro_rules! layer {
    ($layer:literal: $($name:ident $(after $dependency:ident)? $([$tag:literal])? $($failure:literal)?;)*) => {
        $(
            #[task(after = [$($dependency)?], tags = [$layer $(, $tag)?])]
            fn $name(ctx: &Context) -> Result {
                work(ctx)?;
                $(bail!($failure);)?
                #[allow(unreachable_code, reason = "of the tasks that fail")]
                Ok(())
            }
        )*
    };
}

layer! { "layer1":
    test_01_01; test_01_02; test_01_03; test_01_04;
    test_01_05 "the probe did not answer within 3 attempts";
    test_01_06; test_01_07; test_01_08; test_01_09;
}

layer! { "layer2":
    test_02_01 after test_01_01;
    test_02_02 after test_01_02;
    test_02_03 after test_01_03 "checksum mismatch: 0x1f2e3d4c, expected 0x1f2e3d4b";
    test_02_04 after test_01_04;
    test_02_05 after test_01_05;
    test_02_06 after test_01_06;
    test_02_07 after test_01_07;
    test_02_08 after test_01_08;
    test_02_09 after test_01_09;
}

layer! { "layer3":
    test_03_01 after test_02_01;
    test_03_02 after test_02_02;
    test_03_03 after test_02_03;
    test_03_04 after test_02_04;
    test_03_05 after test_02_05;
    test_03_06 after test_02_06;
    test_03_07 after test_02_07;
    test_03_08 after test_02_08;
}

layer! { "layer4":
    test_04_01 after test_03_01 ["capA"];
    test_04_02 after test_03_02 ["capA"] "the queue holds 7 messages, expected none";
    test_04_03 after test_03_04 ["capA"];
    test_04_04 after test_03_06 ["capB"];
    test_04_05 after test_03_07 ["capB"];
}

layer! { "layer5":
    test_05_01 after test_04_01;
    test_05_02 after test_04_03;
    test_05_03 after test_04_05;
}

layer! { "layer6":
    test_06_01 after test_05_01;
}

/// A little work, unless `--fast=1` is given.
fn work(ctx: &Context) -> Result {
    if ctx.state().get::<String>("fast")?.is_none() {
        sleep(Duration::from_millis(200));
    }
    Ok(())
}
