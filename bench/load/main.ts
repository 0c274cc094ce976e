import { serve } from '../shared/rpc.js'
import { Crowd } from './crowd.js'

serve(new Crowd())
