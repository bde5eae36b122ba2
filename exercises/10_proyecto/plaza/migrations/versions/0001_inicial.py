"""Las tablas de Plaza."""

from alembic import op

revision = "0001"
down_revision = None

SCHEMA = """
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL UNIQUE,
    email text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Una familia de tokens de renovación: solo vale el último, y usar otro la revoca entera.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    token_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE TABLE rooms (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    private boolean NOT NULL,
    -- «3:8» en la sala directa de los usuarios 3 y 8; las demás no lo llevan.
    direct_pair text UNIQUE,
    epoch text NOT NULL DEFAULT substr(gen_random_uuid()::text, 1, 8),
    last_seq bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE members (
    room_id bigint NOT NULL REFERENCES rooms,
    user_id bigint NOT NULL REFERENCES users,
    role text NOT NULL CHECK (role IN ('owner', 'moderator', 'member')),
    read_seq bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE restrictions (
    room_id bigint NOT NULL REFERENCES rooms,
    user_id bigint NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('mute', 'ban')),
    reason text NOT NULL,
    expires_at timestamptz NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    PRIMARY KEY (room_id, user_id, kind)
);

CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id bigint NOT NULL REFERENCES rooms,
    seq bigint NOT NULL,
    user_id bigint NOT NULL REFERENCES users,
    client_id text NOT NULL,
    text text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now(),
    edited_at timestamptz,
    deleted boolean NOT NULL DEFAULT false,
    words tsvector GENERATED ALWAYS AS (to_tsvector('spanish', text)) STORED,
    UNIQUE (room_id, seq),
    UNIQUE (user_id, client_id)
);
CREATE INDEX messages_by_word ON messages USING gin (words);

-- Cada edición o borrado ocupa un número de la secuencia de su sala, como un mensaje más.
CREATE TABLE revisions (
    room_id bigint NOT NULL REFERENCES rooms,
    seq bigint NOT NULL,
    message_id bigint NOT NULL REFERENCES messages,
    kind text NOT NULL CHECK (kind IN ('edited', 'deleted')),
    PRIMARY KEY (room_id, seq)
);

CREATE TABLE reports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id bigint NOT NULL REFERENCES messages,
    reporter_id bigint NOT NULL REFERENCES users,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    UNIQUE (message_id, reporter_id)
);

-- La bandeja de salida: se escribe en la transacción de lo que la causa, y un relevo la lleva a la cola.
CREATE TABLE tasks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id bigint NOT NULL REFERENCES users,
    name text NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    progress real NOT NULL DEFAULT 0,
    error text,
    attempts int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Si para entonces sigue sin hacerse, se encola (otra vez): la cola puede perderse entera.
    enqueue_after timestamptz NOT NULL DEFAULT now() + interval '2 seconds'
);
CREATE INDEX tasks_pending ON tasks (enqueue_after) WHERE status IN ('queued', 'running');

CREATE TABLE notifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('mention', 'direct', 'moderation')),
    -- De qué nace: «message:912». Con ella, repetir la tarea no repite el aviso.
    source text NOT NULL,
    room_id bigint NOT NULL REFERENCES rooms,
    message_id bigint REFERENCES messages,
    text text NOT NULL,
    task_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz,
    delivered_by text CHECK (delivered_by IN ('websocket', 'sse', 'email')),
    delivered_at timestamptz,
    email_attempts int NOT NULL DEFAULT 0,
    email_after timestamptz NOT NULL,
    UNIQUE (user_id, kind, source)
);
CREATE INDEX notifications_by_user ON notifications (user_id, id);
CREATE INDEX notifications_undelivered ON notifications (email_after) WHERE delivered_at IS NULL;
"""


def upgrade() -> None:
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            op.execute(statement)
