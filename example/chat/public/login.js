import { $ } from './page.js'

export async function request (url, body, token) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body)
  })
  const json = await answer.json()
  if (!answer.ok) throw Object.assign(new Error(json.message), { code: json.code })
  return json
}

export async function login (name) { return await request('/login', { name }) }

/** Asks who one is, until it is known. @param entered is given the user and the rooms */
export function askName (entered) {
  const enter = async (name) => {
    const { user, rooms } = await login(name)
    // Kept for this tab: another tab may be somebody else.
    sessionStorage.setItem('name', user.name)
    $('login').hidden = true
    $('app').hidden = false
    $('me').textContent = user.name
    entered(user, rooms)
  }
  const show = (error) => {
    $('login').hidden = false
    $('login-error').textContent = error?.message ?? ''
    $('name').focus()
  }
  $('login-form').addEventListener('submit', (event) => {
    event.preventDefault()
    enter($('name').value).catch(show)
  })
  $('logout').addEventListener('click', () => {
    sessionStorage.removeItem('name')
    location.reload()
  })
  const known = sessionStorage.getItem('name')
  if (known === null) show()
  else enter(known).catch(show)
}
