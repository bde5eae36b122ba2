"""Las llamadas al núcleo que una app de estudiante no necesita, y que sirven para escapar o para burlar los límites.

Un espacio de usuarios nuevo devolvería dentro de la jaula los poderes que se acaban de quitar; la memoria anónima con
nombre (`memfd_create`) no cuenta en lo que ocupa un proceso. A todas se contesta que no está permitido.
"""

import ctypes
import errno
import os
import platform
import struct

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, JUMP_IF_EQUAL, JUMP_IF_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16
# clone() con cualquiera de los espacios de nombres: montajes, cgroups, nombres, IPC, usuarios, procesos y red.
NEW_NAMESPACES = 0x7E020000

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
FORBIDDEN = {
    "x86_64": {
        "ptrace": 101,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "unshare": 272,
        "perf_event_open": 298,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "memfd_create": 319,
        "bpf": 321,
        "userfaultfd": 323,
    },
    "aarch64": {
        "umount2": 39,
        "mount": 40,
        "pivot_root": 41,
        "unshare": 97,
        "ptrace": 117,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "perf_event_open": 241,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "memfd_create": 279,
        "bpf": 280,
        "userfaultfd": 282,
    },
}
# Llevan el mismo número en todas partes: io_uring_*, open_tree, move_mount, fsopen… y memfd_secret.
FORBIDDEN_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 442, 447)


def forbid_system_calls() -> None:
    """Desde ahora, y para siempre, este proceso y sus hijos no pueden hacer esas llamadas.

    En otro tipo de procesador no hace nada: quedan los demás límites.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return
    program = b"".join(_filter(machine))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _filter(machine: str) -> list[bytes]:
    forbidden = [*FORBIDDEN[machine].values(), *FORBIDDEN_EVERYWHERE]
    return [
        _instruction(LOAD, ARCHITECTURE_AT),
        _instruction(JUMP_IF_EQUAL, ARCHITECTURES[machine], then=1),
        _instruction(RETURN, KILL),
        _instruction(LOAD, NUMBER_AT),
        # Las llamadas de x32, otra numeración del mismo procesador.
        _instruction(JUMP_IF_ANY_BIT, 0x40000000, otherwise=1),
        _instruction(RETURN, KILL),
        *_refuse(forbidden, errno.EPERM),
        # clone3 guarda sus opciones en memoria y no se pueden mirar: quien lo intenta recurre a clone.
        *_refuse([CLONE3], errno.ENOSYS),
        _instruction(JUMP_IF_EQUAL, CLONE[machine], otherwise=3),
        _instruction(LOAD, FIRST_ARGUMENT_AT),
        _instruction(JUMP_IF_ANY_BIT, NEW_NAMESPACES, otherwise=1),
        _instruction(RETURN, REFUSE | errno.EPERM),
        _instruction(RETURN, ALLOW),
    ]


def _refuse(calls: list[int], error: int) -> list[bytes]:
    return [
        instruction
        for call in calls
        for instruction in (_instruction(JUMP_IF_EQUAL, call, otherwise=1), _instruction(RETURN, REFUSE | error))
    ]


def _instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)
