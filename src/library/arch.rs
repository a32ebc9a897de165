//! Names the machine and the system that an ELF file is built for.
//!
//! Knows nothing of errors.

use object::Endianness;
use object::elf::{self, Machine};
use object::read::ReadRef;
use object::read::elf::FileHeader;

/// What this tdrun can load.
pub(super) const HERE: &str = if cfg!(target_pointer_width = "64") && cfg!(target_endian = "little")
{
    std::env::consts::ARCH
} else {
    "a machine that tdrun does not support"
};

/// The architecture as Rust calls it, with what else would keep the file from being loaded.
pub(super) fn target<'a, H: FileHeader<Endian = Endianness>, R: ReadRef<'a>>(
    data: R,
) -> Option<String> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let mut name = machine(header.e_machine(endian));
    // Byte order and word size are worth a word where the name does not say them.
    if header.is_big_endian() && !name.contains("64be") {
        name.push_str(" (big-endian)");
    }
    if header.is_class_32() && matches!(&*name, "x86_64" | "aarch64" | "riscv64") {
        name.push_str(" (32-bit)");
    }
    if let Some(system) = foreign_system(header.e_ident().os_abi) {
        name = format!("{name} {system}");
    }
    Some(name)
}

fn machine(machine: Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86_64",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_386 => "x86 (32-bit)",
        elf::EM_ARM => "arm (32-bit)",
        elf::EM_RISCV => "riscv64",
        elf::EM_PPC64 => "powerpc64",
        elf::EM_S390 => "s390x",
        elf::EM_LOONGARCH => "loongarch64",
        elf::EM_MIPS => "mips",
        other => return format!("machine {}", other.0),
    }
    .to_owned()
}

fn foreign_system(system: elf::OsAbi) -> Option<&'static str> {
    match system {
        elf::ELFOSABI_SYSV | elf::ELFOSABI_GNU => None,
        elf::ELFOSABI_FREEBSD => Some("FreeBSD"),
        elf::ELFOSABI_OPENBSD => Some("OpenBSD"),
        elf::ELFOSABI_NETBSD => Some("NetBSD"),
        elf::ELFOSABI_SOLARIS => Some("Solaris"),
        _ => Some("on another operating system"),
    }
}
