//! Which system calls a payload can make: a filter in classic BPF, run by the kernel before each call.
//!
//! seccomp(2); include/uapi/linux/{seccomp,filter,audit}.h.
//!
//! A list of what is refused, not of what is allowed: a payload is any program on any libc, and one that is stopped by a
//! call that its libc's next version makes would be taught to live without the filter. What keeps a payload in its place
//! is its user without capabilities; the filter takes away what such a user could still reach of the kernel without
//! needing it: name spaces (and with them file systems), tracing, keys, asynchronous rings, page fault handlers.

use std::io;

use super::check;

const BPF_LOAD_WORD: u16 = 0x20;
const BPF_JUMP_IF_EQUAL: u16 = 0x15;
const BPF_JUMP_IF_ANY_BIT: u16 = 0x45;
#[cfg(target_arch = "x86_64")]
const BPF_JUMP_IF_AT_LEAST: u16 = 0x35;
const BPF_RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`. Arguments have 64 bits, little-endian: the low half comes first.
const DATA_NUMBER: u32 = 0;
const DATA_ARCHITECTURE: u32 = 4;
const DATA_FIRST_ARGUMENT: u32 = 16;
const DATA_SECOND_ARGUMENT: u32 = 24;

const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// x86_64: calls of the x32 ABI have this bit, and would pass by every comparison.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

/// No program for users makes these: one that does is taken over.
const DEADLY: &[libc::c_long] = &[
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
];

/// Answered with EPERM, as to a user who may not.
const REFUSED: &[libc::c_long] = &[
    // File systems and name spaces.
    libc::SYS_chroot,
    libc::SYS_fanotify_init,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Large parts of the kernel that a service does not need.
    libc::SYS_add_key,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_remap_file_pages,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    libc::SYS_vmsplice,
    // The machine.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// Every flag of clone(2) that makes a name space. One for time has no bit there.
const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS) as u32;

/// Local sockets, the internet's (a machine without a network has its loopback) and the host's.
const SOCKET_FAMILIES: &[libc::c_int] =
    &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_VSOCK];

/// A filter, ready to be installed.
#[derive(Debug, Clone)]
pub struct Filter(Vec<libc::sock_filter>);

const fn errno(code: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | code as u32
}

fn statement(code: u16, operand: u32) -> libc::sock_filter {
    jump(code, operand, 0, 0)
}

fn jump(code: u16, operand: u32, if_true: u8, if_false: u8) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: if_true,
        jf: if_false,
        k: operand,
    }
}

impl Filter {
    /// The filter that every payload runs under.
    #[must_use]
    pub fn for_payloads() -> Self {
        let mut program = vec![
            statement(BPF_LOAD_WORD, DATA_ARCHITECTURE),
            jump(BPF_JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
            statement(BPF_RETURN, KILL),
            statement(BPF_LOAD_WORD, DATA_NUMBER),
        ];
        #[cfg(target_arch = "x86_64")]
        program.extend([
            jump(BPF_JUMP_IF_AT_LEAST, X32_BIT, 0, 1),
            statement(BPF_RETURN, KILL),
        ]);
        let lists = [(DEADLY, KILL), (REFUSED, errno(libc::EPERM))];
        for (numbers, action) in lists {
            for number in numbers {
                program.extend([
                    jump(BPF_JUMP_IF_EQUAL, *number as u32, 0, 1),
                    statement(BPF_RETURN, action),
                ]);
            }
        }
        program.extend([
            // Its flags are in memory, where no filter sees them: libraries then take clone.
            jump(BPF_JUMP_IF_EQUAL, libc::SYS_clone3 as u32, 0, 1),
            statement(BPF_RETURN, errno(libc::ENOSYS)),
            jump(BPF_JUMP_IF_EQUAL, libc::SYS_clone as u32, 0, 4),
            statement(BPF_LOAD_WORD, DATA_FIRST_ARGUMENT),
            jump(BPF_JUMP_IF_ANY_BIT, NAMESPACE_FLAGS, 0, 1),
            statement(BPF_RETURN, errno(libc::EPERM)),
            statement(BPF_RETURN, ALLOW),
            // The kernel takes a command by its low half, too.
            jump(BPF_JUMP_IF_EQUAL, libc::SYS_ioctl as u32, 0, 4),
            statement(BPF_LOAD_WORD, DATA_SECOND_ARGUMENT),
            jump(BPF_JUMP_IF_EQUAL, libc::TIOCSTI as u32, 0, 1),
            statement(BPF_RETURN, errno(libc::EPERM)),
            statement(BPF_RETURN, ALLOW),
        ]);
        for number in [libc::SYS_socket, libc::SYS_socketpair] {
            let count = SOCKET_FAMILIES.len() as u8;
            program.push(jump(BPF_JUMP_IF_EQUAL, number as u32, 0, count + 3));
            program.push(statement(BPF_LOAD_WORD, DATA_FIRST_ARGUMENT));
            for (index, family) in SOCKET_FAMILIES.iter().enumerate() {
                let to_allow = count - index as u8;
                program.push(jump(BPF_JUMP_IF_EQUAL, *family as u32, to_allow, 0));
            }
            program.push(statement(BPF_RETURN, errno(libc::EAFNOSUPPORT)));
            program.push(statement(BPF_RETURN, ALLOW));
        }
        program.push(statement(BPF_RETURN, ALLOW));
        Self(program)
    }

    /// Puts this process, which must have given up new privileges, and all it starts under the filter for good.
    /// Makes one system call and allocates nothing.
    ///
    /// # Errors
    /// What seccomp(2) says.
    pub(super) fn install(&self) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: self.0.len() as libc::c_ushort,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel reads `len` instructions at `filter`, which `self` owns, and writes none.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER as libc::c_long,
                0 as libc::c_long,
                std::ptr::from_ref(&program),
            )
        };
        check(result as libc::c_int)?;
        Ok(())
    }
}

/// Whether the kernel has filters at all: Android's own guest kernels are built without.
#[must_use]
pub fn is_supported() -> bool {
    // SAFETY: prctl with numbers only.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: an interpreter of the instructions that the filter uses.
    fn answer(number: libc::c_long, architecture: u32, arguments: [u64; 2]) -> u32 {
        let mut data = vec![];
        data.extend((number as u32).to_le_bytes());
        data.extend(architecture.to_le_bytes());
        data.extend(0u64.to_le_bytes());
        data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
        let Filter(program) = Filter::for_payloads();
        let (mut at, mut word) = (0usize, 0u32);
        loop {
            let instruction = program[at];
            let k = instruction.k;
            let is_true = match instruction.code {
                BPF_RETURN => return k,
                BPF_LOAD_WORD => {
                    let bytes = &data[k as usize..k as usize + 4];
                    word = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
                    false
                }
                BPF_JUMP_IF_EQUAL => word == k,
                BPF_JUMP_IF_ANY_BIT => word & k != 0,
                0x35 => word >= k,
                code => panic!("instruction {code:#x}"),
            };
            at += 1 + usize::from(if is_true {
                instruction.jt
            } else {
                instruction.jf
            });
        }
    }

    fn call(number: libc::c_long, arguments: [u64; 2]) -> u32 {
        answer(number, ARCHITECTURE, arguments)
    }

    const EPERM: u32 = errno(libc::EPERM);

    #[test]
    fn every_listed_call_is_answered_as_its_list_says_and_other_calls_pass() {
        for number in DEADLY {
            assert_eq!(call(*number, [0, 0]), KILL, "{number}");
        }
        for number in REFUSED {
            assert_eq!(call(*number, [0, 0]), EPERM, "{number}");
        }
        let ordinary = [
            libc::SYS_read,
            libc::SYS_execve,
            libc::SYS_mmap,
            libc::SYS_futex,
            libc::SYS_exit_group,
            libc::SYS_connect,
            libc::SYS_seccomp,
        ];
        for number in ordinary {
            assert_eq!(call(number, [u64::MAX, u64::MAX]), ALLOW, "{number}");
        }
        assert_eq!(call(100_000, [0, 0]), ALLOW, "a call of a later kernel");
    }

    #[test]
    fn threads_and_processes_start_but_no_name_spaces() {
        let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
        assert_eq!(call(libc::SYS_clone, [thread, 0]), ALLOW);
        assert_eq!(call(libc::SYS_clone, [libc::SIGCHLD as u64, 0]), ALLOW);
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWPID] {
            let flags = u64::from(flag as u32) | thread;
            assert_eq!(call(libc::SYS_clone, [flags, 0]), EPERM, "{flag:#x}");
            assert_eq!(call(libc::SYS_clone, [flags | 1 << 40, 0]), EPERM);
        }
        assert_eq!(call(libc::SYS_clone3, [0, 0]), errno(libc::ENOSYS));
    }

    #[test]
    fn sockets_are_local_or_of_known_families() {
        for number in [libc::SYS_socket, libc::SYS_socketpair] {
            for family in SOCKET_FAMILIES {
                assert_eq!(call(number, [*family as u64, 1]), ALLOW, "{family}");
            }
            let others = [
                libc::AF_ALG,
                libc::AF_NETLINK,
                libc::AF_PACKET,
                libc::AF_KEY,
                0,
                41,
            ];
            for family in others {
                let refused = errno(libc::EAFNOSUPPORT);
                assert_eq!(call(number, [family as u64, 1]), refused, "{family}");
            }
        }
    }

    #[test]
    fn nothing_can_be_typed_for_others_whatever_the_high_half_of_a_command_holds() {
        let typing = u64::from(libc::TIOCSTI as u32);
        assert_eq!(call(libc::SYS_ioctl, [0, typing]), EPERM);
        assert_eq!(call(libc::SYS_ioctl, [0, typing | 1 << 32]), EPERM);
        assert_eq!(call(libc::SYS_ioctl, [0, libc::TIOCGWINSZ]), ALLOW);
    }

    #[test]
    fn calls_of_another_architecture_kill() {
        assert_eq!(answer(libc::SYS_read, 0x4000_0003, [0, 0]), KILL);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(call(libc::SYS_read | 0x4000_0000, [0, 0]), KILL);
    }

    #[test]
    fn the_kernel_takes_the_filter() {
        use std::os::unix::process::CommandExt;
        if !is_supported() {
            return;
        }
        let filter = Filter::for_payloads();
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "exit 7"]);
        let install = move || {
            // SAFETY: prctl with numbers only.
            check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
            filter.install()
        };
        // SAFETY: the closure makes two system calls and nothing else.
        unsafe { command.pre_exec(install) };
        assert_eq!(command.status().expect("runs").code(), Some(7));
    }
}
