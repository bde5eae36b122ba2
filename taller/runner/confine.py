"""Encierra un proceso: lo mete en los espacios de nombres de una jaula (`sandbox`) y le quita todo poder.

Su supervisor se queda fuera: desde dentro no se le puede ver, señalar ni depurar. Solo Linux.
"""

import ctypes
import os
import platform
import resource
from pathlib import Path

from taller.runner.seccomp import forbid_system_calls

MIB = 1024 * 1024

NEW_MOUNTS, NEW_CGROUPS, NEW_NAMES, NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEW_USERS, NEW_PIDS, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000

PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 24, 38
CAPABILITY_VERSION_3 = 0x20080522
KEYCTL_JOIN_SESSION_KEYRING = 1
KEYCTL = {"x86_64": 250, "aarch64": 219}

LIMITS = {
    resource.RLIMIT_AS: 2048 * MIB,
    resource.RLIMIT_CPU: 120,
    resource.RLIMIT_NOFILE: 1024,
    resource.RLIMIT_FSIZE: 64 * MIB,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_MEMLOCK: MIB,
    resource.RLIMIT_MSGQUEUE: 0,
}
PROCESSES = 160
# Desde esta versión, el núcleo cuenta los procesos de cada jaula por separado.
COUNTS_BY_NAMESPACE = (5, 14)
FIRST_TO_DIE, LOWEST_PRIORITY = "1000", 5

libc = ctypes.CDLL(None, use_errno=True)


def join_for_children(cell: int) -> None:
    """Los hijos que nazcan desde ahora lo harán dentro de la jaula `cell` (un descriptor de su primer proceso)."""
    _set_namespaces(cell, NEW_USERS | NEW_PIDS)


def join_network(cell: int) -> None:
    """Este proceso, que no está encerrado, pasa a ver la red de la jaula, y ninguna más."""
    # root ya manda en la jaula; los demás mandan en ella porque la crearon, y para ejercerlo hay que entrar.
    _set_namespaces(cell, NEW_NETWORK if os.geteuid() == 0 else NEW_USERS | NEW_NETWORK)


def confine(cell: int, uid: int | None, keep: set[int]) -> None:
    """Encierra este proceso, nacido de `join_for_children`, con los descriptores `keep` y ninguno más.

    `uid` es el usuario de la jaula con el que seguir; None, el que ya es.
    """
    _set_namespaces(cell, NEW_MOUNTS | NEW_NETWORK | NEW_IPC | NEW_NAMES | NEW_CGROUPS)
    _close_all_but(keep)
    _forget_keys()
    _limit_resources()
    _drop_privileges(uid)
    # Lo que un cambio de usuario oculta en /proc, el supervisor lo tiene que poder contar.
    _control(PR_SET_DUMPABLE, 1)
    Path("/proc/self/oom_score_adj").write_text(FIRST_TO_DIE)
    forbid_system_calls()


def limit_memory(size: int) -> None:
    """Un proceso de confianza que lee lo que otro le manda: si lo llena, solo se estropea él."""
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _set_namespaces(cell: int, kinds: int) -> None:
    _check(libc.setns(cell, kinds))


def _close_all_but(keep: set[int]) -> None:
    opened = {int(entry) for entry in os.listdir("/proc/self/fd")}  # noqa: PTH208 - solo interesan los nombres
    for descriptor in opened - keep:
        try:
            os.close(descriptor)
        except OSError:  # el de haber leído la carpeta
            continue


def _forget_keys() -> None:
    """Un llavero del núcleo nuevo: el heredado es el de quien califica."""
    number = KEYCTL.get(platform.machine())
    if number is not None:
        libc.syscall(number, KEYCTL_JOIN_SESSION_KEYRING, None)


def _limit_resources() -> None:
    for limit, most in LIMITS.items():
        _, hard = resource.getrlimit(limit)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if release >= COUNTS_BY_NAMESPACE:
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    os.nice(LOWEST_PRIORITY)


def _drop_privileges(uid: int | None) -> None:
    capability = 0
    while libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()))
    _control(PR_SET_NO_NEW_PRIVS, 1)


def _control(option: int, value: int) -> None:
    _check(libc.prctl(option, value, 0, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
