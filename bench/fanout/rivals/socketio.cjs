// Node y socket.io, sin extras.
const { Server } = require("socket.io");

const io = new Server(Number(process.env.PORT), { transports: ["websocket"] });
io.on("connection", (socket) => {
  socket.join("room");
  socket.on("say", (text) => io.to("room").emit("say", text));
});
