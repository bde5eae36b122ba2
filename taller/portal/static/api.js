/* Las peticiones de la página al portal. */

export async function ask(method, path) {
  const response = await fetch(`/api${path}`, { method }).catch(() => null);
  if (!response) throw new Error("El curso no contesta. Si lo has cerrado, ábrelo de nuevo: python3 curso.py");
  const body = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new Error(body?.detail ?? `El curso contestó ${response.status}. Recarga la página.`);
  return body;
}
